// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The debug information of a file, as libdw reads it, mapped and not copied.
//
//   const TruncationGuard guard;   // base/linux/mapped_file.h
//   INSTAR_ASSIGN_OR_RETURN(DwarfFile file, DwarfFile::Of(descriptor));
//   ... file.dwarf() ...

#ifndef INSTAR_CODE_DWARF_FILE_H_
#define INSTAR_CODE_DWARF_FILE_H_

#include <utility>

#include "absl/status/statusor.h"
#include "base/linux/mapped_file.h"

typedef struct Elf Elf;
typedef struct Dwarf Dwarf;

namespace instar {
namespace code_internal {

// Lets libdw throw std::bad_alloc, where it would otherwise end the program.
void ThrowWhenOutOfMemory(Dwarf* dwarf);

class DwarfFile {
 public:
  // The file may be closed afterwards.
  // Errors: NotFound if it has no debug information; ResourceExhausted if that
  // is compressed, and would take much memory, which libdw unpacks as a whole;
  // those of MappedFile::Of().
  static absl::StatusOr<DwarfFile> Of(int file);

  DwarfFile(DwarfFile&& other) noexcept;
  DwarfFile& operator=(DwarfFile&&) = delete;
  ~DwarfFile();

  Dwarf* dwarf() const { return dwarf_; }

  // Frees what was parsed so far. No Dwarf_Die may be used any more. False if
  // it cannot be read again.
  bool Reopen();

 private:
  DwarfFile(MappedFile mapped, Elf* elf, Dwarf* dwarf)
      : mapped_(std::move(mapped)), elf_(elf), dwarf_(dwarf) {}

  MappedFile mapped_;
  Elf* elf_;
  Dwarf* dwarf_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_DWARF_FILE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The debug information of a file, as libdw reads it, mapped and not copied.
//
//   const TruncationGuard guard;   // base/linux/mapped_file.h
//   INSTAR_ASSIGN_OR_RETURN(DwarfFile file, DwarfFile::Of(descriptor));
//   ... file.dwarf() ...

#ifndef INSTAR_CODE_SYMBOLS_INLINING_DWARF_FILE_H_
#define INSTAR_CODE_SYMBOLS_INLINING_DWARF_FILE_H_

#include <elfutils/libdw.h>

#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "code/symbols/images/elf_file.h"

namespace instar {
namespace code_internal {

// Lets libdw throw std::bad_alloc, where it would otherwise end the program.
void ThrowWhenOutOfMemory(Dwarf* dwarf);

// Where the code of a function begins: its entry, or, if the compiler has split
// it (`f.cold`), so that it has ranges alone, where each part does. None if it
// has no code; the linker leaves address 0 in descriptions of what it
// discarded.
std::vector<Dwarf_Addr> BeginsOf(Dwarf_Die* function);

class DwarfFile {
 public:
  // The file may be closed afterwards.
  // Errors: NotFound if it has no debug information; ResourceExhausted if that
  // is compressed, and would take much memory, which libdw unpacks as a whole,
  // or if there is no memory to read it; those of ElfFile::Of().
  static absl::StatusOr<DwarfFile> Of(int file);

  DwarfFile(DwarfFile&& other) noexcept;
  DwarfFile& operator=(DwarfFile&&) = delete;
  ~DwarfFile();

  Dwarf* dwarf() const { return dwarf_; }

  // Frees what was parsed so far. No Dwarf_Die may be used any more. False if
  // it cannot be read again; throws std::bad_alloc if there is no memory.
  bool Reopen();

  // Calls visit(unit, contents) for each unit until it answers false: with the
  // unit's first DIE, and with that of the file to which what is in it was
  // split off, which is null if that cannot be read; else both are the same.
  // No DIE may be kept: what was parsed is freed now and then, so that memory
  // is bounded. Error: ResourceExhausted.
  absl::Status ForEachUnit(
      absl::FunctionRef<bool(Dwarf_Die* unit, Dwarf_Die* contents)> visit);

 private:
  DwarfFile(ElfFile elf, Dwarf* dwarf) : elf_(std::move(elf)), dwarf_(dwarf) {}

  ElfFile elf_;
  Dwarf* dwarf_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INLINING_DWARF_FILE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An ELF file as libelf reads it where it is mapped: it is not copied.
//
//   const TruncationGuard guard;   // base/linux/mapped_file.h
//   INSTAR_ASSIGN_OR_RETURN(const ElfFile file, ElfFile::Of(descriptor));
//   ... file.elf() ...

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_ELF_FILE_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_ELF_FILE_H_

#include <utility>

#include "absl/status/statusor.h"
#include "base/linux/mapped_file.h"

typedef struct Elf Elf;

namespace instar {
namespace code_internal {

class ElfFile {
 public:
  // The file may be closed afterwards. `writable`: in memory, for libelf notes
  // there where it has unpacked a section.
  // Errors: FailedPrecondition if libelf cannot read it (what is no ELF file it
  // reads as one without sections); those of MappedFile::Of().
  static absl::StatusOr<ElfFile> Of(int file, bool writable = false);

  ElfFile(ElfFile&& other) noexcept
      : mapped_(std::move(other.mapped_)),
        elf_(std::exchange(other.elf_, nullptr)) {}
  ElfFile& operator=(ElfFile&&) = delete;
  ~ElfFile();

  Elf* elf() const { return elf_; }

 private:
  ElfFile(MappedFile mapped, Elf* elf)
      : mapped_(std::move(mapped)), elf_(elf) {}

  MappedFile mapped_;
  Elf* elf_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_ELF_FILE_H_

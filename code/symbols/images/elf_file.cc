// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/elf_file.h"

#include <libelf.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace instar {
namespace code_internal {

absl::StatusOr<ElfFile> ElfFile::Of(int file, bool writable) {
  INSTAR_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Of(file, writable));
  elf_version(EV_CURRENT);
  // Nothing is written to it unless it is writable.
  Elf* const elf = elf_memory(const_cast<char*>(mapped.bytes().data()),
                              mapped.bytes().size());
  if (elf == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("it is not an ELF file: ", elf_errmsg(-1)));
  }
  return ElfFile(std::move(mapped), elf);
}

ElfFile::~ElfFile() { elf_end(elf_); }

}  // namespace code_internal
}  // namespace instar

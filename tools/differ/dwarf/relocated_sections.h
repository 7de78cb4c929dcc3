// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A private copy of an object's debug sections, unpacked and relocated, as an
// ELF file in memory. Internal to this package.
//
// A field that refers to code or data becomes an address: the index of the
// section in its upper half, the offset in its lower one. So addresses of
// different sections never meet, and none is 0. One that refers to a debug
// section becomes an offset in that. (x86-64 psABI, section 4.4.)

#ifndef INSTAR_TOOLS_DIFFER_DWARF_RELOCATED_SECTIONS_H_
#define INSTAR_TOOLS_DIFFER_DWARF_RELOCATED_SECTIONS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/differ/elf_file.h"

typedef struct Elf Elf;

namespace instar {
namespace differ {

class RelocatedSections {
 public:
  // Errors: NotFound if there are none; FailedPrecondition or InvalidArgument
  // as ObjectDebugInfo::Read() says. They do not name the object.
  static absl::StatusOr<std::unique_ptr<RelocatedSections>> Of(
      const ElfFile& object);

  ~RelocatedSections();
  RelocatedSections(const RelocatedSections&) = delete;
  RelocatedSections& operator=(const RelocatedSections&) = delete;

  Elf* elf() const { return elf_; }

 private:
  RelocatedSections() = default;

  absl::Status Make(const ElfFile& object);

  std::string image_;
  Elf* elf_ = nullptr;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_RELOCATED_SECTIONS_H_

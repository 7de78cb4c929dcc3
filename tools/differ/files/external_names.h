// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The names by which the linker puts objects together.

#ifndef INSTAR_TOOLS_DIFFER_FILES_EXTERNAL_NAMES_H_
#define INSTAR_TOOLS_DIFFER_FILES_EXTERNAL_NAMES_H_

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/differ/elf_file.h"
#include "tools/differ/files/mapped_file.h"

namespace instar {
namespace differ {

struct ExternalNames {
  std::shared_ptr<const MappedFile> file;    // that they stand in
  std::vector<absl::string_view> defined;    // for other objects
  std::vector<absl::string_view> exclusive;  // of these, what nobody else may
  std::vector<absl::string_view> used;       // what others have to define
};

ExternalNames ExternalNamesOf(const ElfFile& object);

// Functions and variables that a program, or a shared object, has of objects
// that are not the C library's own, as far as others may use them.
std::vector<absl::string_view> NamesOfImage(const ElfFile& image);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_EXTERNAL_NAMES_H_

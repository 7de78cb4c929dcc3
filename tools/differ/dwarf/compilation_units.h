// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What debug information says of the sources that an object was compiled from,
// and of all those that a program, or a shared object, was linked from.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_COMPILATION_UNITS_H_
#define INSTAR_TOOLS_DIFFER_DWARF_COMPILATION_UNITS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/differ/elf_file.h"

namespace instar {
namespace differ {

struct CompilationUnit {
  std::string name;  // of the source, as the compiler was given it
  std::string path;  // the same with the folder that the compiler ran in

  bool operator==(const CompilationUnit& other) const {
    return name == other.name && path == other.path;
  }
};

// Errors: as RelocatedSections::Of(). They do not name the object.
absl::StatusOr<std::vector<CompilationUnit>> UnitsOfObject(
    const ElfFile& object);

// All files that an object was compiled from, headers included, with the folder
// that the compiler ran in.
// Errors: as UnitsOfObject().
absl::StatusOr<std::vector<std::string>> SourcesOfObject(const ElfFile& object);

class LinkedUnits {
 public:
  // Of the file itself, or of that with its debug information, where gdb looks
  // for it: beside it (.gnu_debuglink), or by its build id in /usr/lib/debug.
  // None if there is none.
  // Errors: InvalidArgument if it is damaged. They name the file.
  static absl::StatusOr<LinkedUnits> Of(const ElfFile& image);

  struct Unit : CompilationUnit {
    // The linker has dropped all of its code and variables, or it had none.
    bool is_empty = true;
  };

  const std::vector<Unit>& all() const { return units_; }

  // Which of them has its code, or a variable that begins, at this address.
  // Variables are known of units without code alone.
  std::optional<std::size_t> At(std::uint64_t address) const;

 private:
  std::vector<Unit> units_;
  // By the begin of each stretch of code: its end, and the unit's index.
  std::map<std::uint64_t, std::pair<std::uint64_t, std::size_t>> code_;
  std::map<std::uint64_t, std::size_t> variables_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_COMPILATION_UNITS_H_

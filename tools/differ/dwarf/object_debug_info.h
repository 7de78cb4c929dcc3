// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The debug information of a relocatable object, which is where its linker has
// not been yet: an address in it is a section and an offset.
//
//   INSTAR_ASSIGN_OR_RETURN(const ElfFile file, ElfFile::Read("shop.o"));
//   INSTAR_ASSIGN_OR_RETURN(const auto shop, ObjectDebugInfo::Read(file));
//   for (const StaticVariable& v : StaticVariablesOf(*shop)) ...
//
// The relocations of .debug_* are applied to a private copy. In it an address
// is the index of the section, shifted, plus the offset. DWARF 4 and 5 are
// read, compressed or not, of C and C++.
//
// Lifetime: the ElfFile must outlive it, where it is.
// Threads: not more than one at a time.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_OBJECT_DEBUG_INFO_H_
#define INSTAR_TOOLS_DIFFER_DWARF_OBJECT_DEBUG_INFO_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/die_tree.h"
#include "tools/differ/dwarf/relocated_sections.h"
#include "tools/differ/elf_file.h"

typedef struct Dwarf Dwarf;

namespace instar {
namespace differ {

// Where something is in an object. The section may be kUndefined for what is
// nowhere, or kCommon; its offset is then the index of the symbol.
struct ObjectPlace {
  std::uint32_t section = kUndefined;
  std::uint64_t offset = 0;

  friend bool operator==(const ObjectPlace& a, const ObjectPlace& b) {
    return a.section == b.section && a.offset == b.offset;
  }
  friend bool operator!=(const ObjectPlace& a, const ObjectPlace& b) {
    return !(a == b);
  }
  friend bool operator<(const ObjectPlace& a, const ObjectPlace& b) {
    return std::tie(a.section, a.offset) < std::tie(b.section, b.offset);
  }
};

class ObjectDebugInfo {
 public:
  // Errors, which name the object and what to do: NotFound if it has no debug
  // information; FailedPrecondition if that is of a kind that is not read
  // (-gsplit-dwarf, -fdebug-types-section, LTO); InvalidArgument if it is
  // damaged.
  static absl::StatusOr<std::unique_ptr<ObjectDebugInfo>> Read(
      const ElfFile& object);

  ~ObjectDebugInfo();
  ObjectDebugInfo(const ObjectDebugInfo&) = delete;
  ObjectDebugInfo& operator=(const ObjectDebugInfo&) = delete;

  const ElfFile& file() const { return file_; }

  // Whether types and variables are described: not with -g1, nor all with
  // -femit-struct-debug-baseonly and the like. (In assembly there are none to
  // describe.)
  bool describes_types() const { return describes_types_; }

  // For this package.

  const DieTree& dies() const { return *dies_; }
  Dwarf* dwarf() const { return dwarf_; }

  // An address of the private copy.
  static ObjectPlace PlaceOf(std::uint64_t address) {
    return {static_cast<std::uint32_t>(address >> 32), address & 0xffff'ffffu};
  }

  // The names of the functions that begin there, exported ones first.
  std::vector<absl::string_view> FunctionsAt(const ObjectPlace& place) const;

  // The stretches of code of a function's entry: its begin and how much. The
  // first is where it is entered. None if it has no code of its own.
  struct Stretch {
    ObjectPlace begin;
    std::uint64_t size;
  };
  std::vector<Stretch> CodeOf(DieIndex function) const;

  // The file that DW_AT_decl_file names, its own or that of what it is an
  // instance of; empty if none.
  std::string DeclaredIn(DieIndex die) const;

 private:
  struct FunctionSymbol {
    ObjectPlace place;
    bool is_local;
    absl::string_view name;
  };

  explicit ObjectDebugInfo(const ElfFile& object) : file_(object) {}

  absl::Status Load();
  void CollectFunctions();

  const ElfFile& file_;
  std::unique_ptr<RelocatedSections> sections_;
  Dwarf* dwarf_ = nullptr;
  std::optional<DieTree> dies_;
  bool describes_types_ = true;
  std::vector<FunctionSymbol> functions_;  // by place
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_OBJECT_DEBUG_INFO_H_

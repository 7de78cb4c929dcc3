// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The entries of an object's debug information (DIEs), read once into memory,
// where every reference is an index. Internal to this package: what others ask
// has a header of its own.
//
//   for (DieIndex child : tree.ChildrenOf(unit)) {
//     if (tree[child].tag == DW_TAG_variable) ... tree[child].name ...
//   }
//
// What describes calls, locations that change, columns and using-declarations
// is left out, which is half of all in optimized code.
//
// Lifetime: names and blocks point into the Dwarf that it was read from.
// Threads: immutable.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_DIE_TREE_H_
#define INSTAR_TOOLS_DIFFER_DWARF_DIE_TREE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

typedef struct Dwarf Dwarf;

namespace instar {
namespace differ {

using DieIndex = std::uint32_t;
inline constexpr DieIndex kNoDie = 0xffff'ffff;

// What is asked of every entry.
struct Die {
  std::uint32_t offset = 0;  // in .debug_info
  DieIndex parent = kNoDie;
  DieIndex next = kNoDie;  // sibling
  DieIndex type = kNoDie;  // DW_AT_type
  // DW_AT_abstract_origin, or else DW_AT_specification. Chains have an end.
  DieIndex origin = kNoDie;
  std::uint32_t first_attribute = 0;
  std::uint16_t tag = 0;
  bool is_declaration = false;
  bool is_external = false;
  bool is_artificial = false;
  const char* name = nullptr;  // its own; null: none
  const char* linkage_name = nullptr;
};

// Any other attribute.
struct DieAttribute {
  enum class Kind : std::uint8_t {
    kConstant,   // also an address, a flag
    kBlock,      // an expression or bytes
    kReference,  // `value` is a DieIndex
    kOther,      // such as an offset of another section
  };

  std::uint16_t code = 0;
  Kind kind = Kind::kOther;
  std::uint32_t size = 0;   // of a block
  std::uint64_t value = 0;  // of a block, where it is

  absl::string_view block() const {
    return {reinterpret_cast<const char*>(value), size};
  }
};

class DieTree {
 public:
  // Errors: FailedPrecondition where debug information lies in other files or
  // sections (-gsplit-dwarf, -fdebug-types-section); InvalidArgument if it is
  // damaged. They do not name the object.
  static absl::StatusOr<DieTree> Read(Dwarf* dwarf);

  DieTree(DieTree&&) = default;
  DieTree& operator=(DieTree&&) = default;

  std::size_t size() const { return dies_.size(); }
  const Die& operator[](DieIndex index) const { return dies_[index]; }
  const std::vector<DieIndex>& units() const { return units_; }

  class Children {
   public:
    class Iterator {
     public:
      Iterator(const DieTree* tree, DieIndex at) : tree_(tree), at_(at) {}
      DieIndex operator*() const { return at_; }
      Iterator& operator++() {
        at_ = (*tree_)[at_].next;
        return *this;
      }
      bool operator!=(const Iterator& other) const { return at_ != other.at_; }

     private:
      const DieTree* tree_;
      DieIndex at_;
    };

    Children(const DieTree* tree, DieIndex first)
        : tree_(tree), first_(first) {}
    Iterator begin() const { return {tree_, first_}; }
    Iterator end() const { return {tree_, kNoDie}; }

   private:
    const DieTree* tree_;
    DieIndex first_;
  };
  Children ChildrenOf(DieIndex parent) const;

  // The first entry behind this one and all that is nested in it: those
  // between have consecutive indexes.
  DieIndex EndOf(DieIndex die) const;

  // Null if this entry itself has none.
  const DieAttribute* Find(DieIndex die, unsigned int code) const;

  // Its value, if it is a constant.
  std::optional<std::uint64_t> Constant(DieIndex die, unsigned int code) const;

  // These also from the entries that it refers to as its origin.
  std::optional<std::uint64_t> ConstantOf(DieIndex die,
                                          unsigned int code) const;
  const char* NameOf(DieIndex die) const;
  const char* LinkageNameOf(DieIndex die) const;
  DieIndex TypeOf(DieIndex die) const;

  // The end of its chain of origins: itself if it has none.
  DieIndex RootOf(DieIndex die) const;

  // Whether it describes a class, structure, union or enumeration.
  bool IsClass(DieIndex die) const;

  // Whether the unit that it is in is written in C.
  bool IsC(DieIndex die) const;

  // The unit that it is in.
  DieIndex UnitOf(DieIndex die) const;

 private:
  class Reader;

  DieTree() = default;

  std::vector<Die> dies_;
  std::vector<DieAttribute> attributes_;
  std::vector<DieIndex> units_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_DIE_TREE_H_

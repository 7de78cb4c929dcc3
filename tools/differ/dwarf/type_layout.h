// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How the objects of each class and enumeration are laid out, as one object
// file describes it; free of that file, so that it can be kept and compared.
// Internal to this package: type_changes.h compares.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_TYPE_LAYOUT_H_
#define INSTAR_TOOLS_DIFFER_DWARF_TYPE_LAYOUT_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "tools/differ/dwarf/object_debug_info.h"
#include "tools/differ/dwarf/scalar_kind.h"

namespace instar {
namespace differ {

struct MemberLayout {
  // "price"; "_vptr.Order"; of a base its type; of a nameless union or
  // structure "{nameless #1}", by its order among those.
  std::string name;
  std::string type;  // in one spelling (type_names.h)
  // The same without const and volatile, which change no byte of it.
  std::string bare_type;
  std::uint64_t bit_offset = 0;
  std::uint64_t bit_size = 0;  // 0 for an array that has no bound
  // Of a virtual base, whose place an object's table tells: how, as bytes.
  std::string place_by_table;
  bool is_base = false;
  bool is_bit_field = false;
  bool is_artificial = false;
  bool is_empty = false;        // a base without anything in it
  std::uint64_t alignment = 1;  // in bytes; 1 where it is not known
  ScalarKind scalar = ScalarKind::kNone;
  // Of a plain structure its members, by their place in it: one that has no
  // bases, no functions and no alignment that is asked for, and that is copied
  // as bytes. Empty for anything else, an array of them among it.
  std::vector<MemberLayout> parts;

  std::uint64_t end() const { return bit_offset + (is_empty ? 0 : bit_size); }
};

inline bool operator==(const MemberLayout& a, const MemberLayout& b) {
  const auto key = [](const MemberLayout& m) {
    return std::tie(m.name, m.type, m.bit_offset, m.bit_size, m.place_by_table,
                    m.is_base, m.is_bit_field);
  };
  return key(a) == key(b);
}
inline bool operator!=(const MemberLayout& a, const MemberLayout& b) {
  return !(a == b);
}

struct VirtualFunction {
  std::string name;  // "Price(int) const", "~Order()"
  std::int64_t slot =
      -1;  // in its class's table; -1: the compiler does not say
};

inline bool operator==(const VirtualFunction& a, const VirtualFunction& b) {
  return a.name == b.name && a.slot == b.slot;
}

struct Enumerator {
  std::string name;
  std::int64_t value = 0;
};

inline bool operator==(const Enumerator& a, const Enumerator& b) {
  return a.name == b.name && a.value == b.value;
}

struct TypeLayout {
  enum class Kind : std::uint8_t { kStruct, kUnion, kEnum };

  Kind kind = Kind::kStruct;
  std::string name;  // qualified
  std::uint64_t size = 0;
  std::uint64_t alignment = 0;  // as the source asks for; 0: it does not
  // Copying or destroying it is not trivial, so that functions get its address
  // instead of a copy (Itanium C++ ABI, section 3.1.2.3). In DWARF 4 a function
  // that is defaulted counts as one that is not.
  bool is_passed_by_address = false;
  // It, or a base of it, has a virtual base. Where that lies its table tells,
  // not debug information.
  bool has_virtual_base = false;
  std::vector<MemberLayout> members;  // bases first
  std::vector<VirtualFunction> functions;
  std::vector<Enumerator> enumerators;
  std::string underlying;  // of an enumeration
  // Of anonymous namespaces, and of C++ functions: a type of one file.
  bool is_local = false;
  std::string file;  // where it is defined; these two are no part of it
  int line = 0;
};

// Whether they say the same, wherever it is written.
bool IsSame(const TypeLayout& a, const TypeLayout& b);

// All complete types of the object, in the order of their descriptions. Of one
// name there may be several (in two blocks of a function).
std::vector<TypeLayout> LayoutsOf(const ObjectDebugInfo& object);

// How types are used, by their names.
struct TypeUses {
  // There is a pointer or a reference to it.
  std::vector<std::string> pointed_to;
  // A type -> one that has it for a member, an element of a member, or a base.
  std::vector<std::pair<std::string, std::string>> held_by;
  // A type -> a variable of static or thread storage that is of it, or of an
  // array of it.
  std::vector<std::pair<std::string, std::string>> variables;
  // Returned or passed by value.
  std::vector<std::string> passed;
  // Local variables.
  std::vector<std::string> local;
  // Thrown, or asked for its type_info.
  std::vector<std::string> with_type_info;
  // Only declared.
  std::vector<std::string> declared;
};

TypeUses UsesOf(const ObjectDebugInfo& object);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_TYPE_LAYOUT_H_

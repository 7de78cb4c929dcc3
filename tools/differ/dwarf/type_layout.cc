// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/type_layout.h"

#include <dwarf.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/differ/dwarf/expressions.h"
#include "tools/differ/dwarf/type_names.h"

namespace instar {
namespace differ {
namespace {

constexpr int kMostLevels = 64;

class LayoutReader {
 public:
  LayoutReader(const ObjectDebugInfo& object, TypeNames* names)
      : object_(object),
        dies_(object.dies()),
        names_(*names),
        bare_names_(dies_, TypeNames::Qualifiers::kLeftOut) {}

  TypeLayout Describe(DieIndex die) {
    TypeLayout layout;
    layout.name = names_.QualifiedName(die);
    layout.size = dies_.Constant(die, DW_AT_byte_size).value_or(0);
    layout.alignment = dies_.Constant(die, DW_AT_alignment).value_or(0);
    layout.is_passed_by_address = IsPassedByAddress(die, 0);
    layout.has_virtual_base = HasVirtualBase(die, 0);
    layout.line =
        static_cast<int>(dies_.ConstantOf(die, DW_AT_decl_line).value_or(0));
    layout.file = object_.DeclaredIn(die);
    layout.is_local = absl::StrContains(layout.name, "(anonymous namespace)") ||
                      IsInFunction(die);
    switch (dies_[die].tag) {
      case DW_TAG_union_type:
        layout.kind = TypeLayout::Kind::kUnion;
        break;
      case DW_TAG_enumeration_type:
        layout.kind = TypeLayout::Kind::kEnum;
        layout.underlying = names_.Spell(dies_[die].type);
        break;
      default:
        break;
    }
    int nameless = 0;
    for (const DieIndex child : dies_.ChildrenOf(die)) {
      switch (dies_[child].tag) {
        case DW_TAG_inheritance:
        case DW_TAG_member:
          AddMember(child, 0, &nameless, &layout);
          break;
        case DW_TAG_enumerator:
          layout.enumerators.push_back(
              {Text(dies_.NameOf(child)),
               static_cast<std::int64_t>(
                   dies_.Constant(child, DW_AT_const_value).value_or(0))});
          break;
        case DW_TAG_subprogram:
          AddFunction(child, &layout);
          break;
        default:
          break;
      }
    }
    std::stable_partition(layout.members.begin(), layout.members.end(),
                          [](const MemberLayout& m) { return m.is_base; });
    return layout;
  }

  // The class or enumeration that an object of this type consists of, also if
  // it is an array of them; kNoDie: none.
  DieIndex Held(DieIndex type) const {
    for (int i = 0; type != kNoDie && i < kMostLevels; ++i) {
      type = names_.Behind(type);
      if (type == kNoDie || dies_.IsClass(type)) return type;
      if (dies_[type].tag != DW_TAG_array_type) return kNoDie;
      type = dies_[type].type;
    }
    return kNoDie;
  }

 private:
  static std::string Text(const char* text) {
    return text == nullptr ? "" : text;
  }

  bool IsInFunction(DieIndex die) const {
    for (DieIndex at = dies_[dies_.RootOf(die)].parent; at != kNoDie;
         at = dies_[at].parent) {
      if (dies_[at].tag == DW_TAG_subprogram) return true;
    }
    return false;
  }

  // `level`: how many structures it is in, but for the first.
  void AddMember(DieIndex die, int level, int* nameless, TypeLayout* layout) {
    MemberLayout member;
    member.is_base = dies_[die].tag == DW_TAG_inheritance;
    const DieIndex type = dies_.TypeOf(die);
    const DieAttribute* const location =
        dies_.Find(die, DW_AT_data_member_location);
    // A static member of a class, in DWARF 4.
    if (!member.is_base && (dies_[die].is_external ||
                            dies_.Find(die, DW_AT_const_value) != nullptr)) {
      return;
    }
    member.type = names_.SpellUnqualified(type);
    member.bare_type = bare_names_.Spell(type);
    member.name = member.is_base ? member.type : Text(dies_.NameOf(die));
    if (member.name.empty()) {
      member.name = absl::StrCat("{nameless #", ++*nameless, "}");
    }
    member.is_artificial = dies_[die].is_artificial;
    member.bit_size = 8 * SizeOf(type, 0);
    const std::uint64_t asked =
        dies_.Constant(die, DW_AT_alignment).value_or(0);
    member.alignment = std::max(asked, AlignmentOf(type, 0));
    member.scalar = ScalarKindOf(dies_, names_.Behind(type));
    member.is_empty = member.is_base && IsEmpty(names_.Behind(type), 0);
    // Not where an alignment is asked for, also by a typedef.
    if (!member.is_base &&
        member.alignment == AlignmentOf(names_.Behind(type), 0)) {
      member.parts = PartsOf(type, level);
    }
    if (location != nullptr) {
      if (location->kind == DieAttribute::Kind::kConstant) {
        member.bit_offset = 8 * location->value;
      } else if (location->kind == DieAttribute::Kind::kBlock) {
        const auto offset = ConstantExpression(location->block());
        if (offset.has_value()) {
          member.bit_offset = 8 * *offset;
        } else {
          member.place_by_table = std::string(location->block());
        }
      }
    }
    AddBits(die, &member);
    layout->members.push_back(std::move(member));
  }

  std::vector<MemberLayout> PartsOf(DieIndex type, int level) {
    type = names_.Behind(type);
    if (type == kNoDie || level > kMostLevels ||
        dies_[type].tag != DW_TAG_structure_type ||
        dies_[type].is_declaration ||
        dies_.Find(type, DW_AT_byte_size) == nullptr ||
        dies_.Find(type, DW_AT_alignment) != nullptr ||
        IsPassedByAddress(type, 0)) {
      return {};
    }
    const auto known = parts_.find(type);
    if (known != parts_.end()) return known->second;
    TypeLayout layout;
    int nameless = 0;
    for (const DieIndex child : dies_.ChildrenOf(type)) {
      switch (dies_[child].tag) {
        case DW_TAG_member:
          AddMember(child, level + 1, &nameless, &layout);
          break;
        case DW_TAG_inheritance:
        case DW_TAG_subprogram:
          return {};
        default:
          break;
      }
    }
    return parts_.emplace(type, std::move(layout.members)).first->second;
  }

  void AddBits(DieIndex die, MemberLayout* member) {
    const auto bits = dies_.Constant(die, DW_AT_bit_size);
    if (!bits.has_value()) return;
    member->is_bit_field = true;
    const auto from_begin = dies_.Constant(die, DW_AT_data_bit_offset);
    const auto from_end = dies_.Constant(die, DW_AT_bit_offset);
    if (from_begin.has_value()) {
      member->bit_offset = *from_begin;
    } else if (from_end.has_value()) {
      // DWARF 4: from the most significant bit of a unit of this many bytes.
      const std::uint64_t unit =
          8 *
          dies_.Constant(die, DW_AT_byte_size).value_or(member->bit_size / 8);
      member->bit_offset += unit - *from_end - *bits;
    }
    member->bit_size = *bits;
  }

  void AddFunction(DieIndex die, TypeLayout* layout) {
    if (dies_.Constant(die, DW_AT_virtuality).value_or(0) == 0) return;
    VirtualFunction function;
    // Without the class, which has been named.
    function.name = names_.FunctionName(die);
    const std::string scope = names_.ScopeOf(die);
    if (absl::StartsWith(function.name, scope)) {
      function.name.erase(0, scope.size());
    }
    const DieAttribute* const slot =
        dies_.Find(die, DW_AT_vtable_elem_location);
    if (slot != nullptr && slot->kind == DieAttribute::Kind::kBlock) {
      const auto value = ConstantExpression(slot->block());
      if (value.has_value()) function.slot = static_cast<std::int64_t>(*value);
    } else if (slot != nullptr && slot->kind == DieAttribute::Kind::kConstant) {
      function.slot = static_cast<std::int64_t>(slot->value);
    }
    layout->functions.push_back(std::move(function));
  }

  std::uint64_t SizeOf(DieIndex type, int level) const {
    type = names_.Behind(type);
    if (type == kNoDie || level > kMostLevels) return 0;
    const auto size = dies_.Constant(type, DW_AT_byte_size);
    if (size.has_value()) return *size;
    switch (dies_[type].tag) {
      case DW_TAG_pointer_type:
      case DW_TAG_reference_type:
      case DW_TAG_rvalue_reference_type:
        return 8;
      case DW_TAG_ptr_to_member_type:
        return IsFunctionType(dies_[type].type) ? 16 : 8;
      case DW_TAG_array_type:
        break;
      default:
        return dies_[type].origin == kNoDie
                   ? 0
                   : SizeOf(dies_[type].origin, level + 1);
    }
    std::uint64_t result = SizeOf(dies_[type].type, level + 1);
    for (const DieIndex range : dies_.ChildrenOf(type)) {
      if (dies_[range].tag != DW_TAG_subrange_type) continue;
      const auto upper = dies_.Constant(range, DW_AT_upper_bound);
      const auto count = dies_.Constant(range, DW_AT_count);
      result *= upper.has_value() ? *upper + 1 : count.value_or(0);
    }
    return result;
  }

  bool IsFunctionType(DieIndex type) const {
    type = names_.Behind(type);
    return type != kNoDie && dies_[type].tag == DW_TAG_subroutine_type;
  }

  std::uint64_t AlignmentOf(DieIndex type, int level) const {
    // An alignment may be asked for in a typedef, too.
    for (DieIndex at = type; at != kNoDie && level < kMostLevels; ++level) {
      const auto asked = dies_.Constant(at, DW_AT_alignment);
      if (asked.has_value() && *asked > 0) return *asked;
      if (at == names_.Behind(at)) break;
      at = dies_[at].type;
    }
    type = names_.Behind(type);
    if (type == kNoDie || level >= kMostLevels) return 1;
    if (dies_[type].tag == DW_TAG_array_type) {
      return AlignmentOf(dies_[type].type, level + 1);
    }
    if (dies_.IsClass(type) && dies_[type].tag != DW_TAG_enumeration_type) {
      std::uint64_t most = 1;
      for (const DieIndex child : dies_.ChildrenOf(type)) {
        if (dies_[child].tag != DW_TAG_member &&
            dies_[child].tag != DW_TAG_inheritance) {
          continue;
        }
        if (dies_[child].is_external) continue;
        const auto asked = dies_.Constant(child, DW_AT_alignment);
        most = std::max(most, asked.value_or(0));
        most = std::max(most, AlignmentOf(dies_[child].type, level + 1));
      }
      return most;
    }
    if (dies_[type].tag == DW_TAG_ptr_to_member_type) return 8;
    const std::uint64_t size = SizeOf(type, 0);
    return size == 0 ? 1 : std::min<std::uint64_t>(size, 16);
  }

  bool IsPassedByAddress(DieIndex type, int level) {
    if (level > kMostLevels || dies_[type].tag == DW_TAG_enumeration_type) {
      return false;
    }
    const auto known = passed_by_address_.find(type);
    if (known != passed_by_address_.end()) return known->second;
    bool result = false;
    for (const DieIndex child : dies_.ChildrenOf(type)) {
      switch (dies_[child].tag) {
        case DW_TAG_subprogram:
          result |= IsNontrivial(type, child);
          break;
        case DW_TAG_inheritance:
          result |= dies_.Constant(child, DW_AT_virtuality).value_or(0) != 0;
          [[fallthrough]];
        case DW_TAG_member: {
          if (dies_[child].is_external) break;
          const DieIndex held = Held(dies_[child].type);
          result |= held != kNoDie && IsPassedByAddress(held, level + 1);
          break;
        }
        default:
          break;
      }
    }
    passed_by_address_[type] = result;
    return result;
  }

  // Whether this member function makes its class one that is not trivial to
  // copy or destroy.
  bool IsNontrivial(DieIndex type, DieIndex function) const {
    if (dies_.Constant(function, DW_AT_virtuality).value_or(0) != 0) {
      return true;
    }
    const char* const name = dies_.NameOf(function);
    const char* const of = dies_.NameOf(type);
    if (name == nullptr || of == nullptr || dies_[function].is_artificial ||
        dies_.Constant(function, DW_AT_defaulted).value_or(0) ==
            DW_DEFAULTED_in_class) {
      return false;
    }
    if (name[0] == '~') return true;
    const absl::string_view class_name(of);
    if (class_name.substr(0, class_name.find('<')) != name) return false;
    for (const DieIndex child : dies_.ChildrenOf(function)) {
      if (dies_[child].tag != DW_TAG_formal_parameter ||
          dies_[child].is_artificial) {
        continue;
      }
      const DieIndex reference = names_.Behind(dies_[child].type);
      if (reference == kNoDie) return false;
      return (dies_[reference].tag == DW_TAG_reference_type ||
              dies_[reference].tag == DW_TAG_rvalue_reference_type) &&
             names_.Behind(dies_[reference].type) == type;
    }
    return false;
  }

  bool HasVirtualBase(DieIndex type, int level) const {
    if (type == kNoDie || level > kMostLevels) return false;
    for (const DieIndex child : dies_.ChildrenOf(type)) {
      if (dies_[child].tag != DW_TAG_inheritance) continue;
      if (dies_.Constant(child, DW_AT_virtuality).value_or(0) != 0 ||
          HasVirtualBase(names_.Behind(dies_[child].type), level + 1)) {
        return true;
      }
    }
    return false;
  }

  bool IsEmpty(DieIndex type, int level) const {
    if (type == kNoDie || level > kMostLevels) return false;
    if (dies_[type].is_declaration) return false;
    for (const DieIndex child : dies_.ChildrenOf(type)) {
      if (dies_[child].tag == DW_TAG_member && !dies_[child].is_external) {
        return false;
      }
      if (dies_[child].tag == DW_TAG_inheritance &&
          !IsEmpty(names_.Behind(dies_[child].type), level + 1)) {
        return false;
      }
    }
    return true;
  }

  const ObjectDebugInfo& object_;
  const DieTree& dies_;
  TypeNames& names_;
  TypeNames bare_names_;
  absl::flat_hash_map<DieIndex, bool> passed_by_address_;
  // By plain structures.
  absl::flat_hash_map<DieIndex, std::vector<MemberLayout>> parts_;
};

bool IsComplete(const DieTree& dies, DieIndex die) {
  return dies.IsClass(die) && !dies[die].is_declaration &&
         dies.Find(die, DW_AT_byte_size) != nullptr;
}

}  // namespace

bool IsSame(const TypeLayout& a, const TypeLayout& b) {
  return a.kind == b.kind && a.size == b.size && a.alignment == b.alignment &&
         a.is_passed_by_address == b.is_passed_by_address &&
         a.members == b.members && a.functions == b.functions &&
         a.enumerators == b.enumerators && a.underlying == b.underlying;
}

std::vector<TypeLayout> LayoutsOf(const ObjectDebugInfo& object) {
  TypeNames names(object.dies());
  LayoutReader reader(object, &names);
  std::vector<TypeLayout> layouts;
  for (DieIndex i = 0; i < object.dies().size(); ++i) {
    if (IsComplete(object.dies(), i)) layouts.push_back(reader.Describe(i));
  }
  return layouts;
}

TypeUses UsesOf(const ObjectDebugInfo& object) {
  const DieTree& dies = object.dies();
  TypeNames names(dies);
  const LayoutReader reader(object, &names);
  TypeUses uses;
  const auto held_name = [&](DieIndex type) -> std::optional<std::string> {
    const DieIndex held = reader.Held(type);
    if (held == kNoDie) return std::nullopt;
    return names.QualifiedName(held);
  };
  absl::flat_hash_set<DieIndex> pointed_to;
  for (DieIndex i = 0; i < dies.size(); ++i) {
    switch (dies[i].tag) {
      case DW_TAG_pointer_type:
      case DW_TAG_reference_type:
      case DW_TAG_rvalue_reference_type: {
        const DieIndex held = reader.Held(dies[i].type);
        if (held != kNoDie && pointed_to.insert(held).second) {
          uses.pointed_to.push_back(names.QualifiedName(held));
        }
        break;
      }
      case DW_TAG_member:
      case DW_TAG_inheritance: {
        const auto held = held_name(dies.TypeOf(i));
        if (held.has_value()) {
          uses.held_by.emplace_back(*held, names.QualifiedName(dies[i].parent));
        }
        break;
      }
      case DW_TAG_variable: {
        // Also one that another object defines.
        const bool is_static =
            dies[i].is_external || StaticLocationOf(dies, i).has_value();
        const auto held = held_name(dies.TypeOf(i));
        if (!held.has_value()) break;
        if (is_static) {
          uses.variables.emplace_back(*held, names.QualifiedName(i));
        } else {
          uses.local.push_back(*held);
        }
        break;
      }
      case DW_TAG_formal_parameter:
      case DW_TAG_subprogram:
      case DW_TAG_subroutine_type: {
        const auto held = held_name(dies.TypeOf(i));
        if (held.has_value()) uses.passed.push_back(*held);
        break;
      }
      default:
        if (dies.IsClass(i) && dies[i].is_declaration) {
          uses.declared.push_back(names.QualifiedName(i));
        }
        break;
    }
  }
  for (const Symbol& symbol : object.file().symbols()) {
    if (absl::StartsWith(symbol.name, "_ZTI")) {
      uses.with_type_info.emplace_back(symbol.name.substr(4));
    }
  }
  return uses;
}

}  // namespace differ
}  // namespace instar

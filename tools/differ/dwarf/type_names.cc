// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/type_names.h"

#include <dwarf.h>

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {
namespace {

// No type is nested deeper; a description that is damaged may be endless.
constexpr int kMostLevels = 100;

}  // namespace

TypeNames::TypeNames(const DieTree& dies, Qualifiers qualifiers)
    : dies_(dies), qualifiers_(qualifiers) {
  FindNamers();
}

// A typedef names what it refers to itself ([dcl.typedef]/9); else the first
// member or variable does, also one that only leads there.
void TypeNames::FindNamers() {
  const auto is_nameless = [this](DieIndex type) {
    return type != kNoDie && dies_.IsClass(type) &&
           dies_.NameOf(type) == nullptr;
  };
  for (DieIndex i = 0; i < dies_.size(); ++i) {
    if (dies_[i].tag == DW_TAG_typedef && is_nameless(dies_[i].type)) {
      namers_.emplace(dies_[i].type, i);
    }
  }
  for (DieIndex i = 0; i < dies_.size(); ++i) {
    const int tag = dies_[i].tag;
    if (tag != DW_TAG_member && tag != DW_TAG_variable &&
        tag != DW_TAG_typedef) {
      continue;
    }
    if (dies_[i].name == nullptr) {
      if (tag == DW_TAG_member) nameless_members_.emplace(dies_[i].type, i);
      continue;
    }
    DieIndex type = dies_[i].type;
    for (int step = 0; type != kNoDie && step < kMostLevels; ++step) {
      if (is_nameless(type)) {
        namers_.emplace(type, i);
        break;
      }
      if (dies_.IsClass(type) || dies_[type].tag == DW_TAG_typedef) break;
      type = dies_[type].type;
    }
  }
}

DieIndex TypeNames::Behind(DieIndex type) const {
  for (int step = 0; type != kNoDie && step < kMostLevels; ++step) {
    switch (dies_[type].tag) {
      case DW_TAG_typedef:
      case DW_TAG_const_type:
      case DW_TAG_volatile_type:
      case DW_TAG_restrict_type:
      case DW_TAG_atomic_type:
        type = dies_[type].type;
        break;
      default:
        return type;
    }
  }
  return type;
}

const std::string& TypeNames::Spell(DieIndex type) {
  const auto found = spelled_.find(type);
  if (found != spelled_.end()) return found->second;
  std::string name = level_ > kMostLevels ? "..." : Describe(type);
  return spelled_.insert_or_assign(type, std::move(name)).first->second;
}

const std::string& TypeNames::SpellUnqualified(DieIndex type) {
  for (int step = 0; type != kNoDie && step < kMostLevels; ++step) {
    switch (dies_[type].tag) {
      case DW_TAG_const_type:
      case DW_TAG_volatile_type:
      case DW_TAG_restrict_type:
        type = dies_[type].type;
        continue;
      case DW_TAG_typedef: {
        const DieIndex target = dies_[type].type;
        if (target == kNoDie || dies_[target].tag == DW_TAG_typedef ||
            dies_[target].tag == DW_TAG_const_type ||
            dies_[target].tag == DW_TAG_volatile_type) {
          type = target;
          continue;
        }
        return Spell(type);
      }
      default:
        return Spell(type);
    }
  }
  return Spell(type);
}

// Compilers nest const and volatile in either order.
std::string TypeNames::Qualified(std::string name, absl::string_view with) {
  if (qualifiers_ == Qualifiers::kLeftOut) return name;
  bool is_const = with == " const";
  bool is_volatile = with == " volatile";
  if (absl::EndsWith(name, " volatile")) {
    is_volatile = true;
    name.resize(name.size() - absl::string_view(" volatile").size());
  }
  if (absl::EndsWith(name, " const")) {
    is_const = true;
    name.resize(name.size() - absl::string_view(" const").size());
  }
  return absl::StrCat(name, is_const ? " const" : "",
                      is_volatile ? " volatile" : "");
}

std::string TypeNames::Describe(DieIndex type) {
  if (type == kNoDie) return "void";
  ++level_;
  const absl::Cleanup leave = [this] { --level_; };
  const Die& die = dies_[type];
  const auto target = [&] { return Spell(die.type); };
  switch (die.tag) {
    case DW_TAG_typedef:
    case DW_TAG_restrict_type:
      return target();
    case DW_TAG_const_type:
      return Qualified(target(), " const");
    case DW_TAG_volatile_type:
      return Qualified(target(), " volatile");
    case DW_TAG_atomic_type:
      return absl::StrCat(target(), " _Atomic");
    case DW_TAG_pointer_type:
      return absl::StrCat(target(), "*");
    case DW_TAG_reference_type:
      return absl::StrCat(target(), "&");
    case DW_TAG_rvalue_reference_type:
      return absl::StrCat(target(), "&&");
    case DW_TAG_ptr_to_member_type: {
      const DieAttribute* const of = dies_.Find(type, DW_AT_containing_type);
      const bool is_known =
          of != nullptr && of->kind == DieAttribute::Kind::kReference;
      const std::string holder =
          is_known ? Spell(static_cast<DieIndex>(of->value)) : "?";
      return absl::StrCat(target(), " ", holder, "::*");
    }
    case DW_TAG_array_type:
      return DescribeArray(type);
    case DW_TAG_subroutine_type:
      return absl::StrCat(target(), "(", ParametersOf(type), ")");
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
      return QualifiedName(type);
    default: {
      const char* const name = dies_.NameOf(type);
      if (name != nullptr) return name;
      return absl::StrCat("{type ", die.tag, "}");
    }
  }
}

std::string TypeNames::DescribeArray(DieIndex type) {
  std::string name = Spell(dies_[type].type);
  if (dies_.Find(type, DW_AT_GNU_vector) != nullptr) name += " vector";
  for (const DieIndex range : dies_.ChildrenOf(type)) {
    if (dies_[range].tag != DW_TAG_subrange_type) continue;
    const auto upper = dies_.Constant(range, DW_AT_upper_bound);
    const auto count = dies_.Constant(range, DW_AT_count);
    if (upper.has_value()) {
      absl::StrAppend(&name, "[", *upper + 1, "]");
    } else if (count.has_value()) {
      absl::StrAppend(&name, "[", *count, "]");
    } else {
      name += "[]";
    }
  }
  return name;
}

std::string TypeNames::ParametersOf(DieIndex function) {
  std::string parameters;
  const auto separate = [&parameters] {
    if (!parameters.empty()) parameters += ", ";
  };
  for (const DieIndex child : dies_.ChildrenOf(function)) {
    if (dies_[child].tag == DW_TAG_unspecified_parameters) {
      separate();
      parameters += "...";
    }
    if (dies_[child].tag != DW_TAG_formal_parameter) continue;
    if (dies_[child].is_artificial) continue;
    separate();
    parameters += SpellUnqualified(dies_.TypeOf(child));
  }
  return parameters;
}

bool TypeNames::IsConstMember(DieIndex function) const {
  for (const DieIndex child : dies_.ChildrenOf(function)) {
    if (dies_[child].tag != DW_TAG_formal_parameter) continue;
    if (!dies_[child].is_artificial) return false;
    const DieIndex pointer = Behind(dies_.TypeOf(child));
    return pointer != kNoDie && dies_[pointer].tag == DW_TAG_pointer_type &&
           dies_[pointer].type != kNoDie &&
           dies_[dies_[pointer].type].tag == DW_TAG_const_type;
  }
  return false;
}

std::string TypeNames::FunctionName(DieIndex function) {
  const DieIndex root = dies_.RootOf(function);
  const char* const name = dies_.NameOf(root);
  std::string result =
      absl::StrCat(ScopeOf(root), name == nullptr ? "{function}" : name);
  if (dies_.IsC(root)) return result;
  absl::StrAppend(&result, "(", ParametersOf(root), ")");
  if (IsConstMember(root)) result += " const";
  return result;
}

std::string TypeNames::ScopeOf(DieIndex die) {
  DieIndex scope = dies_[dies_.RootOf(die)].parent;
  while (scope != kNoDie && (dies_[scope].tag == DW_TAG_lexical_block ||
                             dies_[scope].tag == DW_TAG_try_block ||
                             dies_[scope].tag == DW_TAG_catch_block)) {
    scope = dies_[scope].parent;
  }
  if (scope == kNoDie || dies_[scope].parent == kNoDie) return "";
  const auto found = scopes_.find(scope);
  if (found != scopes_.end()) return found->second;
  if (level_ > kMostLevels) return "...::";
  ++level_;
  const absl::Cleanup leave = [this] { --level_; };
  std::string name;
  switch (dies_[scope].tag) {
    case DW_TAG_namespace: {
      const char* const own = dies_.NameOf(scope);
      name = absl::StrCat(ScopeOf(scope),
                          own == nullptr ? "(anonymous namespace)" : own);
      break;
    }
    case DW_TAG_subprogram:
    case DW_TAG_inlined_subroutine:
      name = FunctionName(scope);
      break;
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
      // In C there are no scopes of structures.
      if (dies_.IsC(scope) && dies_.NameOf(die) != nullptr) {
        return ScopeOf(scope);
      }
      name = QualifiedName(scope);
      break;
    default:
      return ScopeOf(scope);
  }
  name += "::";
  scopes_.emplace(scope, name);
  return name;
}

std::string TypeNames::QualifiedName(DieIndex die) {
  const char* const name = dies_.NameOf(die);
  if (name == nullptr) return NameOfNameless(die);
  return absl::StrCat(ScopeOf(die), name);
}

DieIndex TypeNames::CallOperatorOf(DieIndex closure) const {
  DieIndex call = kNoDie;
  for (const DieIndex child : dies_.ChildrenOf(closure)) {
    if (dies_[child].tag != DW_TAG_subprogram) continue;
    if (dies_[child].name == absl::string_view("operator()")) call = child;
  }
  return call;
}

// Among those of its function and its parameters, in whatever block, by their
// places in the source, as linkage names number them (Itanium C++ ABI 5.1.8).
int TypeNames::OrderOfLambda(DieIndex closure, const std::string& parameters) {
  const auto is_block = [this](DieIndex die) {
    return dies_[die].tag == DW_TAG_lexical_block ||
           dies_[die].tag == DW_TAG_try_block ||
           dies_[die].tag == DW_TAG_catch_block;
  };
  const auto place_of = [this](DieIndex die) {
    return std::make_tuple(dies_.ConstantOf(die, DW_AT_decl_line).value_or(0),
                           dies_.ConstantOf(die, DW_AT_decl_column).value_or(0),
                           die);
  };
  DieIndex scope = dies_[closure].parent;
  while (scope != kNoDie && is_block(scope)) scope = dies_[scope].parent;
  if (scope == kNoDie) return 1;
  int order = 1;
  std::vector<DieIndex> pending = {scope};
  while (!pending.empty()) {
    const DieIndex at = pending.back();
    pending.pop_back();
    for (const DieIndex other : dies_.ChildrenOf(at)) {
      if (is_block(other)) pending.push_back(other);
      if (other == closure || !dies_.IsClass(other) ||
          dies_[other].name != nullptr) {
        continue;
      }
      const DieIndex call = CallOperatorOf(other);
      if (call != kNoDie && place_of(other) < place_of(closure) &&
          ParametersOf(call) == parameters) {
        ++order;
      }
    }
  }
  return order;
}

std::string TypeNames::NameOfNameless(DieIndex die) {
  const DieIndex call = CallOperatorOf(die);
  if (call != kNoDie) {
    const std::string parameters = ParametersOf(call);
    const int order = OrderOfLambda(die, parameters);
    return absl::StrCat(ScopeOf(die), "{lambda(", parameters, ")#", order, "}");
  }
  const auto namer = namers_.find(die);
  if (namer != namers_.end() && dies_[namer->second].tag == DW_TAG_typedef &&
      dies_[namer->second].type == die) {
    return absl::StrCat(ScopeOf(namer->second), dies_[namer->second].name);
  }
  if (dies_[die].tag == DW_TAG_enumeration_type) {
    for (const DieIndex child : dies_.ChildrenOf(die)) {
      if (dies_[child].tag != DW_TAG_enumerator) continue;
      return absl::StrCat(ScopeOf(die), "{enum ", dies_.NameOf(child), "}");
    }
  }
  if (namer != namers_.end()) {
    std::string scope = ScopeOf(namer->second);
    const DieIndex holder = dies_[namer->second].parent;
    if (dies_[namer->second].tag == DW_TAG_member && dies_.IsC(die)) {
      scope = absl::StrCat(QualifiedName(holder), "::");
    }
    return absl::StrCat(scope, "{type of ", dies_[namer->second].name, "}");
  }
  // An anonymous union or structure: by its order among those of its holder,
  // which in C is not around it.
  int order = 1;
  const auto member = nameless_members_.find(die);
  if (member != nameless_members_.end()) {
    const DieIndex holder = dies_[member->second].parent;
    for (const DieIndex other : dies_.ChildrenOf(holder)) {
      if (other == member->second) break;
      if (dies_[other].tag == DW_TAG_member && dies_[other].name == nullptr) {
        ++order;
      }
    }
    return absl::StrCat(QualifiedName(holder), "::{nameless #", order, "}");
  }
  const DieIndex holder = dies_[die].parent;
  if (holder != kNoDie) {
    for (const DieIndex other : dies_.ChildrenOf(holder)) {
      if (other == die) break;
      if (dies_.IsClass(other) && dies_[other].name == nullptr &&
          namers_.count(other) == 0) {
        ++order;
      }
    }
  }
  return absl::StrCat(ScopeOf(die), "{nameless #", order, "}");
}

}  // namespace differ
}  // namespace instar

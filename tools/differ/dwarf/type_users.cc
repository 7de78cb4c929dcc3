// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/type_users.h"

#include <dwarf.h>
#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "tools/differ/dwarf/expressions.h"
#include "tools/differ/dwarf/type_names.h"

namespace instar {
namespace differ {
namespace {

constexpr int kMostLevels = 64;

// Types are numbered by their names: a declaration and a definition are one.
using TypeNumber = std::uint32_t;
using Numbers = std::vector<TypeNumber>;

void MakeSet(Numbers* numbers) {
  std::sort(numbers->begin(), numbers->end());
  numbers->erase(std::unique(numbers->begin(), numbers->end()), numbers->end());
}

void Append(Numbers* to, const Numbers& from) {
  to->insert(to->end(), from.begin(), from.end());
}

}  // namespace

struct TypeUseIndex::Index {
  struct Function {
    TypeUser user;
    Numbers types;  // that it names itself
  };
  struct Variable {
    TypeHolder holder;
    Numbers held;
    Numbers types;
  };

  // A type, and all that have it for a member, a base or an element of one; or,
  // `with_pointers`, that lead to it in any way.
  std::vector<bool> LeadingTo(absl::string_view type,
                              bool with_pointers) const {
    std::vector<bool> leads(held_by.size());
    const auto number = numbers.find(type);
    if (number == numbers.end()) return leads;
    Numbers pending = {number->second};
    leads[number->second] = true;
    while (!pending.empty()) {
      const TypeNumber at = pending.back();
      pending.pop_back();
      for (const TypeNumber next : with_pointers ? named_by[at] : held_by[at]) {
        if (leads[next]) continue;
        leads[next] = true;
        pending.push_back(next);
      }
    }
    return leads;
  }

  static bool HasAny(const Numbers& numbers, const std::vector<bool>& of) {
    return std::any_of(numbers.begin(), numbers.end(),
                       [&of](TypeNumber number) { return of[number]; });
  }

  absl::flat_hash_map<std::string, TypeNumber> numbers;
  std::vector<Numbers> held_by;   // also named_by
  std::vector<Numbers> named_by;  // by the types of a type's members
  std::vector<Function> functions;
  std::vector<Variable> variables;
};

class TypeUseIndex::Builder {
 public:
  Builder(const ObjectDebugInfo& object, absl::string_view name, Index* index)
      : object_(object),
        name_(name),
        dies_(object.dies()),
        names_(dies_),
        index_(*index) {}

  void Build() {
    const auto first_function =
        static_cast<std::ptrdiff_t>(index_.functions.size());
    const auto first_variable =
        static_cast<std::ptrdiff_t>(index_.variables.size());
    for (DieIndex i = 0; i < dies_.size(); ++i) {
      if (dies_.IsClass(i)) AddClass(i);
      if (dies_[i].tag == DW_TAG_variable) AddVariable(i);
      if (dies_[i].tag == DW_TAG_subprogram) AddCallee(i);
    }
    for (auto& numbers : index_.held_by) MakeSet(&numbers);
    for (auto& numbers : index_.named_by) MakeSet(&numbers);
    for (DieIndex i = 0; i < dies_.size(); ++i) {
      if (dies_[i].tag == DW_TAG_subprogram) AddFunction(i);
    }
    std::stable_sort(index_.functions.begin() + first_function,
                     index_.functions.end(), [](const auto& a, const auto& b) {
                       return a.user.place < b.user.place;
                     });
    std::stable_sort(index_.variables.begin() + first_variable,
                     index_.variables.end(), [](const auto& a, const auto& b) {
                       return a.holder.place < b.holder.place;
                     });
  }

 private:
  TypeNumber NumberOf(DieIndex type) {
    const auto known = number_of_die_.find(type);
    if (known != number_of_die_.end()) return known->second;
    const auto next = static_cast<TypeNumber>(index_.held_by.size());
    const auto added = index_.numbers.emplace(names_.QualifiedName(type), next);
    if (added.second) {
      index_.held_by.emplace_back();
      index_.named_by.emplace_back();
    }
    number_of_die_.emplace(type, added.first->second);
    return added.first->second;
  }

  // The classes and enumerations that the type names, behind pointers, too.
  const Numbers& Named(DieIndex type, int level = 0) {
    static const Numbers none;
    if (type == kNoDie || level > kMostLevels) return none;
    const auto known = named_.find(type);
    if (known != named_.end()) return *known->second;
    Numbers result;
    if (dies_.IsClass(type)) {
      result.push_back(NumberOf(type));
    } else {
      Append(&result, Named(dies_[type].type, level + 1));
      if (dies_[type].tag == DW_TAG_subroutine_type) {
        for (const DieIndex child : dies_.ChildrenOf(type)) {
          Append(&result, Named(dies_[child].type, level + 1));
        }
      }
      const DieAttribute* const holder =
          dies_.Find(type, DW_AT_containing_type);
      if (holder != nullptr && holder->kind == DieAttribute::Kind::kReference) {
        Append(&result, Named(static_cast<DieIndex>(holder->value), level + 1));
      }
    }
    MakeSet(&result);
    return *named_.emplace(type, std::make_unique<Numbers>(std::move(result)))
                .first->second;
  }

  // The class or enumeration that it consists of; kNoDie: none.
  DieIndex Held(DieIndex type) const {
    for (int i = 0; type != kNoDie && i < kMostLevels; ++i) {
      type = names_.Behind(type);
      if (type == kNoDie || dies_.IsClass(type)) return type;
      if (dies_[type].tag != DW_TAG_array_type) return kNoDie;
      type = dies_[type].type;
    }
    return kNoDie;
  }

  void AddClass(DieIndex type) {
    const TypeNumber number = NumberOf(type);
    for (const DieIndex child : dies_.ChildrenOf(type)) {
      switch (dies_[child].tag) {
        case DW_TAG_member:
        case DW_TAG_inheritance: {
          const DieIndex held = Held(dies_[child].type);
          if (held != kNoDie) index_.held_by[NumberOf(held)].push_back(number);
          Lead(number, dies_[child].type);
          break;
        }
        case DW_TAG_subprogram:
          // What can be called through it.
          Lead(number, dies_[child].type);
          for (const DieIndex parameter : dies_.ChildrenOf(child)) {
            if (dies_[parameter].tag == DW_TAG_formal_parameter) {
              Lead(number, dies_[parameter].type);
            }
          }
          break;
        default:
          break;
      }
    }
  }

  void Lead(TypeNumber from, DieIndex to) {
    for (const TypeNumber number : Named(to)) {
      if (number != from) index_.named_by[number].push_back(from);
    }
  }

  void AddVariable(DieIndex variable) {
    const auto at = StaticLocationOf(dies_, variable);
    const DieIndex type = dies_.TypeOf(variable);
    if (!at.has_value()) {
      // One of another object is known by its name alone.
      if (!dies_[variable].is_external) return;
      const char* name = dies_.LinkageNameOf(variable);
      if (name == nullptr) name = dies_.NameOf(variable);
      if (name != nullptr) Append(&of_symbol_[name], Named(type));
      return;
    }
    const ObjectPlace place = ObjectDebugInfo::PlaceOf(at->address);
    if (!known_variables_.insert(at->address).second) return;
    Append(&of_section_[place.section], Named(type));
    if (place.section == kCommon) {
      const char* const name = dies_.NameOf(variable);
      if (name != nullptr) Append(&of_symbol_[name], Named(type));
    }
    Index::Variable result;
    result.holder.object = std::string(name_);
    result.holder.name = names_.QualifiedName(variable);
    result.holder.place = place;
    const DieIndex held = Held(type);
    if (held != kNoDie) result.held.push_back(NumberOf(held));
    result.types = Named(type);
    index_.variables.push_back(std::move(result));
  }

  // What a function takes and returns concerns those who call it.
  void AddCallee(DieIndex function) {
    const Numbers types = SignatureOf(function);
    if (types.empty()) return;
    const char* name = dies_.LinkageNameOf(function);
    if (name == nullptr) name = dies_.NameOf(function);
    if (name != nullptr) Append(&of_symbol_[name], types);
    if (dies_[function].is_declaration) return;
    const auto code = object_.CodeOf(function);
    if (!code.empty()) Append(&of_section_[code.front().begin.section], types);
  }

  Numbers SignatureOf(DieIndex function) {
    Numbers types = Named(dies_.TypeOf(function));
    for (const DieIndex child : dies_.ChildrenOf(function)) {
      if (dies_[child].tag == DW_TAG_formal_parameter) {
        Append(&types, Named(dies_.TypeOf(child)));
      }
    }
    return types;
  }

  void AddFunction(DieIndex function) {
    if (dies_[function].is_declaration) return;
    const auto code = object_.CodeOf(function);
    if (code.empty()) return;
    Index::Function result;
    result.user.object = std::string(name_);
    result.user.place = code.front().begin;
    const auto symbols = object_.FunctionsAt(result.user.place);
    if (!symbols.empty()) {
      const char* const described = dies_.LinkageNameOf(function);
      const bool is_there =
          described != nullptr &&
          std::find(symbols.begin(), symbols.end(), described) != symbols.end();
      result.user.linkage_name =
          is_there ? described : std::string(symbols.front());
    }
    result.user.name = names_.FunctionName(function);
    Append(&result.types, InBody(function));
    for (const ObjectDebugInfo::Stretch& stretch : code) {
      AddReferences(stretch, &result.types);
    }
    MakeSet(&result.types);
    index_.functions.push_back(std::move(result));
  }

  // What the entries of a function name, those of the functions inlined into it
  // and of what they are copies of included.
  const Numbers& InBody(DieIndex function, int level = 0) {
    static const Numbers none;
    if (level > kMostLevels) return none;
    const auto known = in_body_.find(function);
    if (known != in_body_.end()) return *known->second;
    Numbers result = Named(dies_.TypeOf(function));
    const DieIndex end = dies_.EndOf(function);
    for (DieIndex i = function; i < end; ++i) {
      if (i != function && dies_[i].tag == DW_TAG_subprogram) {
        // A function of a local class, or of a lambda, is one of its own.
        i = dies_.EndOf(i) - 1;
        continue;
      }
      switch (dies_[i].tag) {
        case DW_TAG_variable:
        case DW_TAG_formal_parameter:
        case DW_TAG_template_type_parameter:
        case DW_TAG_inlined_subroutine:
          Append(&result, Named(dies_.TypeOf(i)));
          break;
        default:
          break;
      }
      if ((dies_[i].tag == DW_TAG_inlined_subroutine || i == function) &&
          dies_[i].origin != kNoDie) {
        Append(&result, InBody(dies_[i].origin, level + 1));
      }
    }
    MakeSet(&result);
    return *in_body_
                .emplace(function, std::make_unique<Numbers>(std::move(result)))
                .first->second;
  }

  // What the code refers to.
  void AddReferences(const ObjectDebugInfo::Stretch& code, Numbers* types) {
    const auto& sections = object_.file().sections();
    if (code.begin.section >= sections.size()) return;
    for (const Relocation& relocation :
         sections[code.begin.section].relocations) {
      if (relocation.offset < code.begin.offset ||
          relocation.offset >= code.begin.offset + code.size) {
        continue;
      }
      const Symbol& symbol = object_.file().symbols()[relocation.symbol];
      const auto by_name = of_symbol_.find(symbol.name);
      if (!symbol.name.empty() && by_name != of_symbol_.end()) {
        Append(types, by_name->second);
      }
      const auto by_section = of_section_.find(symbol.section);
      if (symbol.section != kUndefined && by_section != of_section_.end()) {
        Append(types, by_section->second);
      }
    }
  }

  const ObjectDebugInfo& object_;
  const absl::string_view name_;
  const DieTree& dies_;
  TypeNames names_;
  Index& index_;
  absl::flat_hash_map<DieIndex, TypeNumber> number_of_die_;
  absl::flat_hash_map<DieIndex, std::unique_ptr<Numbers>> named_;
  absl::flat_hash_map<DieIndex, std::unique_ptr<Numbers>> in_body_;
  // What the variables and functions of that name, or in that section, name.
  absl::flat_hash_map<std::string, Numbers> of_symbol_;
  absl::flat_hash_map<std::uint32_t, Numbers> of_section_;
  absl::flat_hash_set<std::uint64_t> known_variables_;
};

TypeUseIndex::TypeUseIndex() : index_(std::make_unique<Index>()) {}

void TypeUseIndex::Add(const ObjectDebugInfo& object, absl::string_view name) {
  Builder(object, name, index_.get()).Build();
}

TypeUseIndex::~TypeUseIndex() = default;
TypeUseIndex::TypeUseIndex(TypeUseIndex&&) noexcept = default;
TypeUseIndex& TypeUseIndex::operator=(TypeUseIndex&&) noexcept = default;

std::vector<TypeUser> TypeUseIndex::FunctionsOf(absl::string_view type) const {
  const std::vector<bool> holders = index_->LeadingTo(type, false);
  const std::vector<bool> leading = index_->LeadingTo(type, true);
  std::vector<TypeUser> users;
  for (const Index::Function& function : index_->functions) {
    if (!Index::HasAny(function.types, leading)) continue;
    users.push_back(function.user);
    users.back().is_direct = Index::HasAny(function.types, holders);
  }
  return users;
}

std::vector<TypeHolder> TypeUseIndex::VariablesOf(
    absl::string_view type) const {
  const std::vector<bool> holders = index_->LeadingTo(type, false);
  const std::vector<bool> leading = index_->LeadingTo(type, true);
  std::vector<TypeHolder> variables;
  for (const Index::Variable& variable : index_->variables) {
    if (!Index::HasAny(variable.types, leading)) continue;
    variables.push_back(variable.holder);
    variables.back().is_held = Index::HasAny(variable.held, holders);
  }
  return variables;
}

}  // namespace differ
}  // namespace instar

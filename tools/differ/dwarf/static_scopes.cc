// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/static_scopes.h"

#include <dwarf.h>

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/differ/dwarf/expressions.h"
#include "tools/differ/dwarf/number_each.h"
#include "tools/differ/dwarf/type_names.h"

namespace instar {
namespace differ {
namespace {

bool IsFunction(const Die& die) {
  return die.tag == DW_TAG_subprogram || die.tag == DW_TAG_inlined_subroutine;
}

class Collector {
 public:
  explicit Collector(const ObjectDebugInfo& object)
      : object_(object),
        dies_(object.dies()),
        names_(dies_),
        bare_names_(dies_, TypeNames::Qualifiers::kLeftOut) {}

  std::vector<StaticVariable> Collect() {
    for (DieIndex i = 0; i < dies_.size(); ++i) {
      if (dies_[i].tag == DW_TAG_subprogram) NoteCode(i);
    }
    for (DieIndex i = 0; i < dies_.size(); ++i) {
      if (dies_[i].tag == DW_TAG_variable) Visit(i);
    }
    std::vector<StaticVariable> result;
    for (auto& entry : found_) result.push_back(std::move(entry.second));
    Number(&result);
    return result;
  }

 private:
  // Functions that are local to the file have no linkage name in debug
  // information; their symbol tells.
  void NoteCode(DieIndex function) {
    if (dies_[function].is_declaration) return;
    const auto code = object_.CodeOf(function);
    if (code.empty()) return;
    const auto symbols = object_.FunctionsAt(code.front().begin);
    symbol_of_root_.emplace(dies_.RootOf(function),
                            symbols.empty() ? "" : symbols.front());
  }

  void Visit(DieIndex variable) {
    const std::optional<StaticLocation> at = StaticLocationOf(dies_, variable);
    if (!at.has_value()) return;
    const ObjectPlace place = ObjectDebugInfo::PlaceOf(at->address);
    const auto known = found_.find(place);
    // One of an inlined function is described once for every copy.
    if (known != found_.end()) return;
    StaticVariable& result = found_[place];
    result.place = place;
    result.is_thread_local = at->is_thread_local;
    const DieIndex root = dies_.RootOf(variable);
    result.is_external = dies_[variable].is_external || dies_[root].is_external;
    const char* const name = dies_.NameOf(variable);
    result.name = name == nullptr ? "" : name;
    result.qualified_name = names_.QualifiedName(variable);
    result.type = names_.Spell(dies_.TypeOf(variable));
    result.bare_type = bare_names_.Spell(dies_.TypeOf(variable));
    const DieIndex type = names_.Behind(dies_.TypeOf(variable));
    result.scalar = ScalarKindOf(dies_, type);
    if (type != kNoDie) {
      result.size = dies_.Constant(type, DW_AT_byte_size).value_or(0);
    }
    result.line = static_cast<int>(
        dies_.ConstantOf(variable, DW_AT_decl_line).value_or(0));
    result.file = object_.DeclaredIn(variable);
    DescribeFunction(root, &result);
  }

  void DescribeFunction(DieIndex root, StaticVariable* result) {
    DieIndex scope = root;
    for (DieIndex at = dies_[root].parent; at != kNoDie;
         at = dies_[at].parent) {
      if (dies_[at].tag == DW_TAG_lexical_block) {
        result->blocks =
            absl::StrCat("{", OrderOfBlock(at), "}", result->blocks);
      }
      if (IsFunction(dies_[at])) {
        scope = at;
        break;
      }
      // A static member of a class is in no function, even if the class is.
      if (dies_.IsClass(at)) return;
    }
    if (scope == root) return;
    const DieIndex function = dies_.RootOf(scope);
    result->function = names_.FunctionName(function);
    const auto symbol = symbol_of_root_.find(function);
    result->is_inlined = symbol == symbol_of_root_.end();
    const char* const linkage_name = dies_.LinkageNameOf(scope);
    if (linkage_name != nullptr) {
      result->linkage_name_of_function = linkage_name;
    } else if (symbol != symbol_of_root_.end()) {
      result->linkage_name_of_function = std::string(symbol->second);
    } else if (dies_.IsC(function)) {
      result->linkage_name_of_function = result->function;
    }
  }

  int OrderOfBlock(DieIndex block) const {
    int order = 0;
    for (const DieIndex other : dies_.ChildrenOf(dies_[block].parent)) {
      if (other == block) break;
      if (dies_[other].tag == DW_TAG_lexical_block) ++order;
    }
    return order;
  }

  static void Number(std::vector<StaticVariable>* variables) {
    std::map<std::tuple<std::string, std::string>, std::vector<StaticVariable*>>
        groups;
    for (StaticVariable& variable : *variables) {
      // Those of no function are told apart by their namespace or class.
      groups[{variable.function, variable.function.empty()
                                     ? variable.qualified_name
                                     : variable.name}]
          .push_back(&variable);
    }
    NumberEach(&groups, [](const StaticVariable* a, const StaticVariable* b) {
      return std::tie(a->line, a->blocks) < std::tie(b->line, b->blocks);
    });
  }

  const ObjectDebugInfo& object_;
  const DieTree& dies_;
  TypeNames names_;
  TypeNames bare_names_;
  absl::flat_hash_map<DieIndex, absl::string_view> symbol_of_root_;
  std::map<ObjectPlace, StaticVariable> found_;
};

}  // namespace

std::string VariableDifference(const StaticVariable& was,
                               const StaticVariable& is) {
  if (was.bare_type == is.bare_type) return "";
  if (was.size == is.size && IsSameBytes(was.scalar, is.scalar)) return "";
  const auto element = [](const std::string& type) {
    return absl::EndsWith(type, "]") ? type.substr(0, type.find_last_of('['))
                                     : "";
  };
  if (!element(was.bare_type).empty() &&
      element(was.bare_type) == element(is.bare_type)) {
    return "";
  }
  return absl::StrCat("was ", was.type, ", is ", is.type);
}

std::vector<StaticVariable> StaticVariablesOf(const ObjectDebugInfo& object) {
  return Collector(object).Collect();
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/signatures.h"

#include <dwarf.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/type_names.h"

namespace instar {
namespace differ {
namespace {

std::string LinkageName(const ObjectDebugInfo& object, DieIndex function,
                        const ObjectPlace& place) {
  const auto symbols = object.FunctionsAt(place);
  const char* described = object.dies().LinkageNameOf(function);
  if (described == nullptr) described = object.dies().NameOf(function);
  if (described != nullptr &&
      std::find(symbols.begin(), symbols.end(), described) != symbols.end()) {
    return described;
  }
  return symbols.empty() ? "" : std::string(symbols.front());
}

FunctionSignature Describe(const ObjectDebugInfo& object, DieIndex function,
                           TypeNames* names) {
  const DieTree& dies = object.dies();
  FunctionSignature result;
  result.code = object.CodeOf(function);
  result.place = result.code.front().begin;
  result.linkage_name = LinkageName(object, function, result.place);
  result.name = names->FunctionName(function);
  result.line =
      static_cast<int>(dies.ConstantOf(function, DW_AT_decl_line).value_or(0));
  result.return_type = names->SpellUnqualified(dies.TypeOf(function));
  for (DieIndex at = function; at != kNoDie; at = dies[at].origin) {
    if (result.file.empty()) result.file = object.DeclaredIn(at);
    if (dies.Find(at, DW_AT_noreturn) != nullptr) result.is_noreturn = true;
    if (dies[at].is_external) result.is_external = true;
  }
  // A clone may have lost parameters; what it is a clone of has them all.
  for (const DieIndex child : dies.ChildrenOf(dies.RootOf(function))) {
    if (dies[child].tag == DW_TAG_unspecified_parameters) {
      result.is_variadic = true;
    }
    if (dies[child].tag != DW_TAG_formal_parameter) continue;
    if (dies[child].is_artificial) continue;
    result.parameters.push_back(names->SpellUnqualified(dies.TypeOf(child)));
  }
  result.is_unmangled = !absl::StartsWith(result.linkage_name, "_Z");
  return result;
}

}  // namespace

std::vector<FunctionSignature> SignaturesOf(const ObjectDebugInfo& object) {
  std::vector<FunctionSignature> signatures;
  TypeNames names(object.dies());
  for (DieIndex i = 0; i < object.dies().size(); ++i) {
    if (object.dies()[i].tag != DW_TAG_subprogram ||
        object.dies()[i].is_declaration || object.CodeOf(i).empty()) {
      continue;
    }
    signatures.push_back(Describe(object, i, &names));
  }
  std::stable_sort(signatures.begin(), signatures.end(),
                   [](const FunctionSignature& a, const FunctionSignature& b) {
                     return a.place < b.place;
                   });
  return signatures;
}

std::string ToString(const FunctionSignature& signature) {
  const absl::string_view name = signature.name;
  // Without the parameters that the name of C++ has, which are the same; but
  // with a const behind them.
  std::string parameters = absl::StrJoin(signature.parameters, ", ");
  if (signature.is_variadic) {
    absl::StrAppend(&parameters, parameters.empty() ? "..." : ", ...");
  }
  const std::string in_name = absl::StrCat("(", parameters, ")");
  return absl::StrCat(signature.is_noreturn ? "[[noreturn]] " : "",
                      signature.return_type, " ", name,
                      absl::StrContains(name, in_name) ? "" : in_name);
}

}  // namespace differ
}  // namespace instar

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

bool IsInRegister(const DieTree& dies, const TypeNames& names, DieIndex type) {
  type = names.Behind(type);
  if (type == kNoDie) return false;
  switch (dies[type].tag) {
    case DW_TAG_pointer_type:
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
    case DW_TAG_enumeration_type:
      return true;
    // Larger ones may be in the x87 registers, which have to be emptied, or in
    // memory.
    case DW_TAG_base_type:
      return dies.ConstantOf(type, DW_AT_byte_size).value_or(16) <= 8;
    default:
      return false;
  }
}

FunctionSignature Describe(const ObjectDebugInfo& object, DieIndex function,
                           TypeNames* names, TypeNames* bare_names) {
  const DieTree& dies = object.dies();
  FunctionSignature result;
  result.code = object.CodeOf(function);
  result.place = result.code.front().begin;
  result.linkage_name = LinkageName(object, function, result.place);
  result.name = names->FunctionName(function);
  result.line =
      static_cast<int>(dies.ConstantOf(function, DW_AT_decl_line).value_or(0));
  result.file = object.DeclaredIn(function);
  result.return_type = names->SpellUnqualified(dies.TypeOf(function));
  result.bare_return_type = bare_names->Spell(dies.TypeOf(function));
  result.is_result_in_register =
      IsInRegister(dies, *names, dies.TypeOf(function));
  for (DieIndex at = function; at != kNoDie; at = dies[at].origin) {
    if (dies.Find(at, DW_AT_noreturn) != nullptr) result.is_noreturn = true;
    if (dies[at].is_external) result.is_external = true;
  }
  // A clone may have lost parameters; what it is a clone of has them all.
  for (const DieIndex child : dies.ChildrenOf(dies.RootOf(function))) {
    if (dies[child].tag == DW_TAG_unspecified_parameters) {
      result.is_variadic = true;
    }
    if (dies[child].tag != DW_TAG_formal_parameter) continue;
    if (dies[child].is_artificial) {
      result.has_this = true;
      continue;
    }
    result.parameters.push_back(names->SpellUnqualified(dies.TypeOf(child)));
    result.bare_parameters.push_back(bare_names->Spell(dies.TypeOf(child)));
  }
  result.is_unmangled = !absl::StartsWith(result.linkage_name, "_Z");
  return result;
}

}  // namespace

std::vector<FunctionSignature> SignaturesOf(const ObjectDebugInfo& object) {
  std::vector<FunctionSignature> signatures;
  TypeNames names(object.dies());
  TypeNames bare_names(object.dies(), TypeNames::Qualifiers::kLeftOut);
  for (DieIndex i = 0; i < object.dies().size(); ++i) {
    if (object.dies()[i].tag != DW_TAG_subprogram ||
        object.dies()[i].is_declaration || object.CodeOf(i).empty()) {
      continue;
    }
    signatures.push_back(Describe(object, i, &names, &bare_names));
  }
  std::stable_sort(signatures.begin(), signatures.end(),
                   [](const FunctionSignature& a, const FunctionSignature& b) {
                     return a.place < b.place;
                   });
  return signatures;
}

bool MayCallAs(const FunctionSignature& was, const FunctionSignature& is) {
  const bool is_result_ignored =
      was.bare_return_type == "void" && is.is_result_in_register;
  if ((was.bare_return_type != is.bare_return_type && !is_result_ignored) ||
      was.has_this != is.has_this || (was.is_noreturn && !is.is_noreturn)) {
    return false;
  }
  return !is.is_unmangled || (was.bare_parameters == is.bare_parameters &&
                              was.is_variadic == is.is_variadic);
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

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/unit_names.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "manager/module/generated_module.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

bool IsDigit(char c) { return absl::ascii_isdigit(c); }

// Whether a name may be about a class that is local to a function; a variable
// of a function is not.
bool IsOfLocalClass(absl::string_view name) {
  const std::size_t local = name.find('Z', 2);
  if (local == absl::string_view::npos) return false;
  const bool is_in_function =
      (absl::StartsWith(name, "_ZZ") && !absl::StartsWith(name, "_ZZZ")) ||
      (absl::StartsWith(name, "_ZGVZ") && !absl::StartsWith(name, "_ZGVZZ"));
  if (!is_in_function) return true;
  const std::string readable = Demangle(std::string(name));
  return readable.rfind(')') > readable.rfind("::") &&
         readable.rfind(')') != std::string::npos;
}

// Constructors and destructors of one class have several names.
std::string WithoutVariant(absl::string_view name) {
  std::string result(name);
  for (std::size_t at = 0; at + 1 < result.size(); ++at) {
    if ((result[at] == 'C' || result[at] == 'D') && IsDigit(result[at + 1])) {
      result[at + 1] = '#';
    }
  }
  return result;
}

// What is in an anonymous namespace may become static, or the other way:
// `_ZN12_GLOBAL__N_15countE` and `_ZL5count`. Where a name repeats a part by
// its number, what is left out moves the numbers, and the two get different
// keys.
std::string WithoutAnonymousNamespaces(absl::string_view name) {
  constexpr absl::string_view kAnonymous = "12_GLOBAL__N_1";
  std::string result(name);
  for (std::size_t at = name.find(kAnonymous); at != std::string::npos;
       at = absl::string_view(result).find(kAnonymous, at)) {
    result.erase(at, kAnonymous.size());
    // N5countE, with one name in it, is 5count.
    std::size_t digits = at;
    while (digits < result.size() && IsDigit(result[digits])) ++digits;
    std::size_t length = 0;
    if (at == 0 || result[at - 1] != 'N' || digits == at ||
        !absl::SimpleAtoi(result.substr(at, digits - at), &length) ||
        length >= result.size() - digits || result[digits + length] != 'E') {
      continue;
    }
    result.erase(digits + length, 1);
    result.erase(at - 1, 1);
  }
  return result;
}

// What is static may become global, or the other way: `_ZL5count` and `count`,
// `_ZN1nL5countE` and `_ZN1n5countE` get one key. The L before a number may
// also stand for a literal, which does no harm: a key that two things share
// is looked at closely.
std::string WithoutStaticMark(absl::string_view name) {
  if (!absl::StartsWith(name, "_Z")) return std::string(name);
  std::string result;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == 'L' && i + 1 < name.size() && IsDigit(name[i + 1])) continue;
    result += name[i];
  }
  // `_Z5count` is a variable in the global namespace: `count`.
  std::size_t digits = 2;
  while (digits < result.size() && IsDigit(result[digits])) ++digits;
  if (digits > 2) {
    std::size_t length = 0;
    if (absl::SimpleAtoi(result.substr(2, digits - 2), &length) &&
        result.size() - digits == length) {
      return result.substr(digits);
    }
  }
  return result;
}

}  // namespace

bool IsVirtualTable(absl::string_view name) {
  return absl::StartsWith(name, "_ZTV") || absl::StartsWith(name, "_ZTT") ||
         absl::StartsWith(name, "_ZTC");
}

bool IsTypeInfo(absl::string_view name) {
  return absl::StartsWith(name, "_ZTI") || absl::StartsWith(name, "_ZTS");
}

bool IsNamed(const Unit& unit, absl::string_view name) {
  return unit.name == name ||
         code_internal::QualifiedName(Demangle(unit.name)) == name;
}

bool IsHook(const Unit& unit) {
  return unit.is_function() && unit.is_global() &&
         (absl::StartsWith(unit.name, generated_module::kHookPrefix) ||
          absl::StartsWith(unit.name, generated_module::kConvertPrefix));
}

std::string ConvertedMember(const Unit& unit) {
  if (!IsHook(unit) ||
      !absl::StartsWith(unit.name, generated_module::kConvertPrefix)) {
    return "";
  }
  // "void instar_generated_convert<&(shop::Product::mark_), ...>(...)". GCC 14
  // puts into the name that the kind of the argument is auto, which demanglers
  // do not know.
  std::string name = unit.name;
  constexpr absl::string_view kAuto = "TnDa";
  const std::size_t kind =
      absl::string_view(generated_module::kConvertPrefix).size() + 1;
  if (absl::StartsWith(absl::ClippedSubstr(name, kind), kAuto)) {
    name.erase(kind, kAuto.size());
  }
  const std::string readable = Demangle(name);
  const std::size_t ampersand = readable.find("<&");
  if (ampersand == std::string::npos) return "";
  std::size_t begin = ampersand + 2;
  if (readable[begin] == '(') ++begin;
  std::size_t end = begin;
  for (int depth = 0; end < readable.size(); ++end) {
    const char c = readable[end];
    if (c == '<') ++depth;
    if (c == '>') --depth;
    if (depth == 0 && (c == ',' || c == ')')) break;
  }
  return readable.substr(begin, end - begin);
}

bool IsPartOfCoroutine(absl::string_view name) {
  return absl::EndsWith(name, ".Frame.actor") ||
         absl::EndsWith(name, ".Frame.destroy");
}

bool IsClone(absl::string_view name) {
  return IsPartOfCoroutine(name) || absl::StrContains(name, ".constprop") ||
         absl::StrContains(name, ".isra") || absl::StrContains(name, ".part") ||
         absl::StrContains(name, ".lto_priv");
}

bool IsInOwnSection(const Unit& unit) {
  return !absl::StartsWith(unit.main().name, ".");
}

std::string KeyOf(const Unit& unit) {
  const char kind = unit.is_function() ? 'f' : 'v';
  if (unit.is_initializer()) {
    return absl::StrCat(std::string(1, kind),
                        absl::StartsWith(unit.name, "_GLOBAL__sub_D") ||
                                absl::StartsWith(unit.name, "_GLOBAL__D")
                            ? "end"
                            : "start");
  }
  if (unit.is_compound || (unit.is_variable() && IsInOwnSection(unit))) {
    return absl::StrCat(std::string(1, kind), " ", unit.main().name);
  }
  std::string name = unit.name;
  if (unit.is_function() || !unit.is_global()) name = WithoutNumbers(name);
  return absl::StrCat(std::string(1, kind),
                      WithoutStaticMark(WithoutAnonymousNamespaces(name)));
}

bool IsExported(const Unit& unit) {
  return !unit.is_anonymous() && !unit.global_name().empty() &&
         unit.main().group.empty();
}

std::vector<Numbered> NumbersIn(absl::string_view name) {
  std::vector<Numbered> result;
  if (!absl::StartsWith(name, "_Z")) return result;
  const auto add = [&](std::size_t begin) {
    std::size_t end = begin;
    while (end < name.size() && IsDigit(name[end])) ++end;
    if (end < name.size() && name[end] == '_') {
      result.push_back(
          {absl::StrCat(name.substr(0, begin), "#", name.substr(end)),
           std::string(name.substr(begin, end - begin))});
    }
  };
  if (IsOfLocalClass(name)) {
    result.push_back({Demangle(name), WithoutVariant(name), true});
  }
  for (std::size_t at = name.find("Ut"); at != absl::string_view::npos;
       at = name.find("Ut", at + 1)) {
    add(at + 2);
  }
  for (std::size_t at = name.find("Ul"); at != absl::string_view::npos;
       at = name.find("Ul", at + 1)) {
    // Which E ends its parameters is not parsed: each that is followed by a
    // number and `_` is taken for it. One too many makes one more pattern.
    for (std::size_t e = name.find('E', at); e != absl::string_view::npos;
         e = name.find('E', e + 1)) {
      std::size_t end = e + 1;
      while (end < name.size() && IsDigit(name[end])) ++end;
      if (end < name.size() && name[end] == '_') {
        add(e + 1);
        break;
      }
    }
  }
  return result;
}

std::string ClosureIn(const std::string& name) {
  const std::string readable = Demangle(name);
  std::size_t at = readable.find("{lambda");
  if (at == std::string::npos) at = readable.find("{unnamed");
  const std::size_t end = readable.find('}', at);
  if (at == std::string::npos || end == std::string::npos) return readable;
  int depth = 0;
  for (; at > 0; --at) {
    const char c = readable[at - 1];
    if (c == ')' || c == '>' || c == '}') {
      ++depth;
    } else if (c == '(' || c == '<' || c == '{') {
      if (depth-- == 0) break;
    } else if (depth == 0 && (c == ' ' || c == ',')) {
      break;
    }
  }
  return readable.substr(at, end + 1 - at);
}

std::string ScopeOfLambdas(const std::string& name) {
  const std::string closure = ClosureIn(name);
  return closure.substr(0, closure.rfind('#'));
}

bool IsReplacedConstant(const Unit& unit) {
  return unit.is_variable() && unit.is_constant() &&
         unit.status == UnitStatus::kChanged && !IsVirtualTable(unit.name) &&
         !IsTypeInfo(unit.name);
}

}  // namespace differ
}  // namespace instar

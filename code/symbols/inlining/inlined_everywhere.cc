// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/inlined_everywhere.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <map>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "base/linux/mapped_file.h"
#include "base/linux/own_descriptor.h"
#include "code/symbols/images/symbol_name.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/inlining/dwarf_file.h"

namespace instar {
namespace code_internal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLongest(2);
constexpr std::size_t kMostListed = 8;

std::string ReadableName(const SymbolTable& symbols,
                         const FunctionRecord& function) {
  const auto names = symbols.names(function);
  return names.empty() ? "" : WithStdString(Demangle(names[0]));
}

// What is behind the last "::" that stands outside of brackets.
absl::string_view LastPart(absl::string_view key) {
  int depth = 0;
  for (std::size_t at = key.size(); at-- > 1;) {
    const char c = key[at];
    if (c == ')' || c == '}' || c == '>') ++depth;
    if (c == '(' || c == '{' || c == '<') --depth;
    if (depth == 0 && c == ':' && key[at - 1] == ':') return key.substr(at + 1);
  }
  return key;
}

// Looks for the functions into which one was inlined that has this key
// (symbol_name.h), in the debug information of one file.
class Search {
 public:
  Search(const SymbolTable& symbols, absl::string_view key,
         Clock::time_point until, std::set<std::string>& holders)
      : symbols_(symbols),
        key_(key),
        last_(LastPart(key)),
        until_(until),
        holders_(holders) {}

  void Run() {
    const absl::StatusOr<OwnDescriptor> file = symbols_.OpenDebugInformation();
    if (!file.ok()) return;
    const TruncationGuard guard;  // it may be overwritten at any time
    absl::StatusOr<DwarfFile> dwarf = DwarfFile::Of(file->number());
    if (!dwarf.ok()) return;
    dwarf
        ->ForEachUnit([&](Dwarf_Die*, Dwarf_Die* contents) {
          is_meant_.clear();
          if (contents != nullptr) Visit(contents, "");
          return Clock::now() < until_;
        })
        .IgnoreError();
  }

 private:
  // What is nested in `parent`, in a function of that name.
  void Visit(Dwarf_Die* parent, const std::string& holder) {
    Dwarf_Die die;
    if (dwarf_child(parent, &die) != 0) return;
    do {
      switch (dwarf_tag(&die)) {
        case DW_TAG_subprogram:
          Visit(&die, NameOf(&die));
          break;
        case DW_TAG_inlined_subroutine:
          if (!holder.empty() && IsMeant(&die)) holders_.insert(holder);
          Visit(&die, holder);
          break;
        default:
          Visit(&die, holder);
          break;
      }
    } while (dwarf_siblingof(&die, &die) == 0);
  }

  // Of a function with code.
  std::string NameOf(Dwarf_Die* die) const {
    for (Dwarf_Addr begin : BeginsOf(die)) {
      const FunctionRecord* const function = symbols_.FindFunction(begin);
      if (function != nullptr) return ReadableName(symbols_, *function);
    }
    return "";
  }

  bool IsMeant(Dwarf_Die* copy) {
    Dwarf_Attribute attribute;
    Dwarf_Die origin = *copy;
    Dwarf_Die next;
    while ((dwarf_attr(&origin, DW_AT_abstract_origin, &attribute) != nullptr ||
            dwarf_attr(&origin, DW_AT_specification, &attribute) != nullptr) &&
           dwarf_formref_die(&attribute, &next) != nullptr) {
      origin = next;
    }
    const char* const name = dwarf_diename(&origin);
    if (name == nullptr || !absl::StartsWith(name, last_)) return false;
    const auto [known, is_new] =
        is_meant_.emplace(dwarf_dieoffset(&origin), false);
    if (is_new) known->second = NameKey(QualifiedNameOf(origin)) == key_;
    return known->second;
  }

  static std::string QualifiedNameOf(Dwarf_Die die) {
    Dwarf_Die* scopes = nullptr;
    const int count = dwarf_getscopes_die(&die, &scopes);
    const absl::Cleanup free_scopes = [&scopes] { std::free(scopes); };
    std::vector<std::string> parts;
    for (int i = 0; i < count; ++i) {
      const int tag = dwarf_tag(&scopes[i]);
      if (tag == DW_TAG_compile_unit || tag == DW_TAG_partial_unit ||
          tag == DW_TAG_lexical_block) {
        continue;
      }
      const char* const name = dwarf_diename(&scopes[i]);
      if (name != nullptr) parts.emplace_back(name);
    }
    std::reverse(parts.begin(), parts.end());
    return absl::StrJoin(parts, "::");
  }

  const SymbolTable& symbols_;
  const std::string key_;
  const std::string last_;
  const Clock::time_point until_;
  std::set<std::string>& holders_;
  std::map<Dwarf_Off, bool> is_meant_;  // of this unit
};

// A lambda is named by the templates that were made of it, std::function's and
// Asio's among them.
void FindTemplatesOf(const SymbolTable& symbols, const std::string& lambda,
                     std::set<std::string>& holders) {
  for (const FunctionRecord& function : symbols.functions()) {
    for (const char* const symbol : symbols.names(function)) {
      if (!absl::StrContains(symbol, "Ul")) continue;  // no lambda in it
      const std::string name = Demangle(symbol);
      if (!absl::StrContains(CanonicalName(name), lambda)) continue;
      // What copies and destroys it has none of its body.
      if (absl::StrContains(name, "_M_manager") ||
          absl::StrContains(name, "::~") ||
          absl::StrContains(name, "::ptr::")) {
        continue;
      }
      holders.insert(WithStdString(name));
      break;
    }
  }
}

std::string Listed(const std::set<std::string>& holders) {
  std::vector<std::string> first(
      holders.begin(),
      std::next(holders.begin(), std::min(holders.size(), kMostListed)));
  std::string text = absl::StrJoin(first, ", ");
  if (holders.size() > first.size()) {
    absl::StrAppend(&text, " and ", holders.size() - first.size(), " more");
  }
  return text;
}

}  // namespace

bool IsLambdaName(absl::string_view name) {
  const absl::string_view last = LastPart(name);
  return absl::StartsWith(last, "{lambda(") && absl::EndsWith(last, "}");
}

std::string InlinedEverywhere(const LoadedImages& images,
                              absl::string_view name,
                              absl::string_view image) try {
  const bool is_lambda = IsLambdaName(name);
  const std::string key = NameKey(Demangle(name));
  const std::string lambda = is_lambda ? CanonicalName(name) : "";
  const Clock::time_point until = DeadlineAfter(kLongest);
  std::set<std::string> holders;
  for (const LoadedImage& candidate : images.images()) {
    if (!absl::EndsWith(candidate.symbols->name(), image)) continue;
    if (is_lambda) {
      FindTemplatesOf(*candidate.symbols, lambda, holders);
    } else {
      Search(*candidate.symbols, key, until, holders).Run();
    }
  }
  if (holders.empty()) return "";
  if (is_lambda) {
    return absl::StrCat(
        "the lambda ", name,
        " has no code of its own: its body was inlined into what calls it, ",
        Listed(holders),
        "; redefine the function that its body calls, or keep the lambda from "
        "being inlined ([] __attribute__((noinline)))");
  }
  return absl::StrCat(
      name, " has no code of its own: all calls of it were inlined, into ",
      Listed(holders),
      "; redefine those, or keep it from being inlined ([[gnu::noinline]])");
} catch (const std::bad_alloc&) {
  return "";  // it is not known then
}

}  // namespace code_internal
}  // namespace instar

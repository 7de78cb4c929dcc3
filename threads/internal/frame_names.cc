// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/frame_names.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/exception_table.h"
#include "code/symbols/function.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace threads_internal {
namespace {

// "shop::Serve" of "void shop::Serve<int>(int)".
std::string ShortName(absl::string_view name) {
  return code_internal::WithoutTemplateArguments(
      code_internal::QualifiedName(name));
}

bool IsOfLibrary(absl::string_view name) {
  return absl::StartsWith(name, "std::") ||
         absl::StartsWith(name, "__gnu_cxx::") ||
         absl::StartsWith(name, "absl::") ||
         (absl::StartsWith(name, "instar::") &&
          (absl::StrContains(name, "_internal::") ||
           absl::StartsWith(name, "instar::WalkStack")));
}

}  // namespace

std::string NameOfCode(std::uintptr_t lookup_pc) {
  const auto function = Function::Containing(lookup_pc);
  if (function.ok()) return function->name();
  return absl::StrCat("0x", absl::Hex(lookup_pc));
}

std::vector<std::string> NamesOfFrames(
    const std::vector<std::uintptr_t>& lookup_pcs, std::size_t limit) {
  std::vector<std::string> all, of_program;
  for (const std::uintptr_t pc : lookup_pcs) {
    all.push_back(ShortName(NameOfCode(pc)));
    if (!IsOfLibrary(all.back())) of_program.push_back(all.back());
  }
  std::vector<std::string>& names = of_program.empty() ? all : of_program;
  if (names.size() > limit) {
    names.resize(limit);
    names.push_back("...");
  }
  return std::move(names);
}

std::string Describe(const UnwindSafety& safety) {
  if (safety.verdict == UnwindSafety::Verdict::kThroughC) {
    return absl::StrCat(NameOfCode(safety.frame.lookup_pc),
                        " is C, whose locks nobody would release (frame ",
                        safety.frame.depth,
                        "); RebootOptions::through_c passes it");
  }
  if (safety.verdict != UnwindSafety::Verdict::kUnsafe) {
    return safety.ToString();
  }
  return absl::StrCat(NameOfCode(safety.frame.lookup_pc), " ",
                      ToString(safety.effect.outcome), " (frame ",
                      safety.frame.depth, ")");
}

}  // namespace threads_internal
}  // namespace instar

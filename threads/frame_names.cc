// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/frame_names.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/exception_table.h"
#include "code/function.h"

namespace instar {
namespace threads_internal {

std::string NameOfCode(std::uintptr_t lookup_pc) {
  const auto function = Function::Containing(lookup_pc);
  if (function.ok()) return function->name();
  return absl::StrCat("0x", absl::Hex(lookup_pc));
}

std::string NamesOfFrames(const std::vector<std::uintptr_t>& lookup_pcs,
                          std::size_t limit) {
  std::vector<std::string> names;
  for (const std::uintptr_t pc : lookup_pcs) {
    if (names.size() == limit) {
      names.push_back("...");
      break;
    }
    names.push_back(NameOfCode(pc));
  }
  return absl::StrJoin(names, " <- ");
}

std::string Describe(const UnwindSafety& safety) {
  if (safety.verdict != UnwindSafety::Verdict::kUnsafe) {
    return safety.ToString();
  }
  return absl::StrCat(NameOfCode(safety.frame.lookup_pc), " ",
                      ToString(safety.effect.outcome), " (frame ",
                      safety.frame.depth, ")");
}

}  // namespace threads_internal
}  // namespace instar

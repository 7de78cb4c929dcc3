// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/rivals.h"

#include <algorithm>

namespace instar {
namespace differ {

bool WasLinkedInsteadOf(const LinkedUnits& program, const Traces& object,
                        const Traces& other) {
  const std::vector<LinkedUnits::Unit>& all = program.all();
  if (all.empty() || !std::includes(object.places.begin(), object.places.end(),
                                    other.places.begin(), other.places.end())) {
    return false;
  }
  for (const CompilationUnit& own : other.units) {
    const auto count =
        std::count_if(all.begin(), all.end(), [&](const auto& unit) {
          return !unit.is_empty && unit.path == own.path;
        });
    if (count > 1) return false;
  }
  const auto is_as_given = [&](const Traces& one) {
    return std::find_first_of(one.units.begin(), one.units.end(), all.begin(),
                              all.end()) != one.units.end();
  };
  if (is_as_given(object) != is_as_given(other)) return is_as_given(object);
  return object.places.size() > other.places.size();
}

bool AreRivals(const Traces& a, const Traces& b) {
  return std::find_first_of(
             a.units.begin(), a.units.end(), b.units.begin(), b.units.end(),
             [](const CompilationUnit& one, const CompilationUnit& other) {
               return one.path == other.path;
             }) != a.units.end();
}

}  // namespace differ
}  // namespace instar

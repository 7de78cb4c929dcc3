// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What debug information says of the objects that are compared. It is read when
// it is first asked for.

#ifndef INSTAR_TOOLS_DIFFER_DEBUG_ANSWERS_H_
#define INSTAR_TOOLS_DIFFER_DEBUG_ANSWERS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tools/differ/comparison.h"
#include "tools/differ/dwarf/inlined_calls.h"
#include "tools/differ/dwarf/line_numbers.h"
#include "tools/differ/dwarf/named_by_line.h"
#include "tools/differ/dwarf/object_debug_info.h"
#include "tools/differ/dwarf/static_scopes.h"
#include "tools/differ/findings.h"
#include "tools/differ/moved_lines.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {

class DebugAnswers {
 public:
  explicit DebugAnswers(OldSources old_sources)
      : moved_lines_(std::move(old_sources)) {}
  DebugAnswers(const DebugAnswers&) = delete;
  DebugAnswers& operator=(const DebugAnswers&) = delete;

  // Valid as long as this and the objects are.
  DebugQuestions Questions();

  // Refuses objects without debug information, and those that were compiled by
  // another compiler or with other flags than before.
  void CheckCompilers(const std::vector<ObjectPair>& pairs, Findings& findings);

  // Null: it has none.
  const ObjectDebugInfo* InfoOf(const Object& object);

  // Null: it has none.
  const LineNumbers* LinesOf(const Object& object);

  // Null: it has no debug information.
  const InlinedCalls* CallsOf(const Object& object);

  // What debug information says of a variable that has a section of its own;
  // null: nothing.
  const StaticVariable* VariableOf(const Unit& unit);

 private:
  struct Known {
    absl::Status status;
    std::unique_ptr<ObjectDebugInfo> info;  // null: see status
    bool has_statics = false;
    std::map<ObjectPlace, StaticVariable> statics;
    std::optional<std::map<std::uint32_t, NamedByLine>> by_line;
    bool has_lines = false;
    std::optional<LineNumbers> lines;
    std::optional<InlinedCalls> calls;
  };

  Known& KnownOf(const Object& object);
  const StaticVariable* VariableAt(const Object& object,
                                   const Section& section);
  const NamedByLine* ByLine(const Unit& unit);
  StaticScope ScopeOf(const Unit& unit);
  bool AreDeclaredAlike(const std::vector<Unit*>& variables);

  std::map<const Object*, Known> known_;
  MovedLines moved_lines_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DEBUG_ANSWERS_H_

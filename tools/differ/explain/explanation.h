// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Why a function has changed, for whoever has not touched it: the first of its
// instructions that differs, and where in the sources of both builds it comes
// from.
//
// Registers, the layout of the stack, and how far jumps go follow from whatever
// else has changed, and count only where nothing else has.

#ifndef INSTAR_TOOLS_DIFFER_EXPLAIN_EXPLANATION_H_
#define INSTAR_TOOLS_DIFFER_EXPLAIN_EXPLANATION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/differ/comparison.h"
#include "tools/differ/debug_answers.h"

namespace instar {
namespace differ {

enum class DifferenceKind {
  kNone,       // it has not changed
  kNew,        // the old build has none of that name
  kCode,       // other instructions
  kConstant,   // a number, a string, a table of constants
  kOffset,     // where a member lies in its object, or an element in its array
  kCallee,     // another function is called
  kReference,  // something else that has a name
  kRegisters,  // which registers, where on the stack
  kTables,     // the table of a switch, of exceptions, of unwinding
};

struct ExplainedPlace {
  std::string file;  // empty: not known
  int line = 0;
  std::uint64_t offset = 0;          // of the instruction in its function
  std::string instruction;           // empty: the function has ended there
  std::vector<std::string> inlined;  // from these functions, innermost first
};

struct Explanation {
  std::string function;  // readable
  std::string object;
  DifferenceKind kind = DifferenceKind::kNone;
  std::string what;  // "calls g() in place of f()"
  std::optional<ExplainedPlace> old_place;
  std::optional<ExplainedPlace> new_place;
};

const char* NameOf(DifferenceKind kind);

// `name`: of a function of the new build, a linkage name or a qualified one;
// `*` for all that have changed. Empty if there is none of it.
std::vector<Explanation> Explain(Comparison& comparison, DebugAnswers& debug,
                                 const std::string& name);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_EXPLAIN_EXPLANATION_H_

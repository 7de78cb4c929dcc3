// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which of the objects of two builds are the program's, and whether all of them
// are there.
//
// A folder may hold the objects of several programs, and of tests. Those that
// the program was linked from are known by where its code and variables come
// from: debug information says for each stretch of code from which source. One
// that was not given would count as unchanged, so it is refused by the name of
// its source, unless the author says that it has not changed. Where there is no
// debug information, what the program exports says whether an object is
// missing.
//
// Of the new build, what belongs to the program are the next versions of those,
// and what they use besides.

#ifndef INSTAR_TOOLS_DIFFER_FILES_PROGRAM_OBJECTS_H_
#define INSTAR_TOOLS_DIFFER_FILES_PROGRAM_OBJECTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/findings.h"
#include "tools/differ/update_state.h"

namespace instar {
namespace differ {

struct GivenObjects {
  std::vector<ObjectFiles> files;
  // The author has chosen them: they are the program's, and others have not
  // changed.
  bool is_subset = false;
  // Sources of which no object is given, since they have not changed: names or
  // paths as debug information has them, with `*` and `?`.
  std::vector<std::string> unchanged;
};

struct ProgramObjects {
  std::vector<ObjectFiles> files;  // to be compared
  // Names of objects that belong to other programs.
  std::vector<std::string> left_out;
  // Sources that the program was linked from, and of which no object is given.
  std::vector<std::string> not_compared;
};

// Refuses in the findings what is missing, or cannot be told apart.
// Errors: an object that cannot be read; one that was chosen by the author, and
// which the program was not linked from.
absl::StatusOr<ProgramObjects> ChooseObjects(const UpdateState& state,
                                             GivenObjects given,
                                             Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_PROGRAM_OBJECTS_H_

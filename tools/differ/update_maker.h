// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Makes an update module from two builds of a program: compares their objects,
// decides what goes into the module, and links it.

#ifndef INSTAR_TOOLS_DIFFER_UPDATE_MAKER_H_
#define INSTAR_TOOLS_DIFFER_UPDATE_MAKER_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/differ/explain/explanation.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/findings.h"
#include "tools/differ/moved_lines.h"

namespace instar {
namespace differ {

struct UpdateRequest {
  // The program that runs, or the shared object, as it was linked.
  std::string program;
  // Where that is a copy, the path that it had.
  std::string program_was;
  // Modules that have been applied to it, in that order.
  std::vector<std::string> after;
  // The objects of the build that runs (with those modules), and of the next.
  std::string old_folder;
  std::string new_folder;
  // A release file, in place of the old folder, and of the program if that is
  // empty.
  std::string release;
  // Objects by their names and paths, in place of the folders.
  std::vector<NamedObject> old_objects;
  std::vector<NamedObject> new_objects;
  // Paths of objects in both folders; empty: all that are there
  // (FindObjects()), and nothing of the program may be missing
  // (ChooseObjects()).
  std::vector<std::string> objects;
  // Of those in the folders, names of which to take no notice, with `*`, `?`.
  std::vector<std::string> excluded;
  // Sources of the program of which no object is there, since they have not
  // changed (GivenObjects).
  std::vector<std::string> unchanged;
  OldSources old_sources;
  // Qualified names of types of which the author says that objects which exist
  // do no harm, though their layout has changed.
  std::set<std::string> allowed_types;
  // Functions, by linkage name or qualified name, that may be running when they
  // are redefined: who is inside goes on with the old version.
  std::set<std::string> at_next_call;
  // Functions that have to be on no stack besides (WaitedFunctions()).
  std::set<std::string> waits_for;
  // Functions of which the report is to say how they have changed: linkage or
  // qualified names, or `*` for all.
  std::vector<std::string> explained;
  std::string name;      // of the update
  std::string output;    // path of the module; empty: compare only
  std::string compiler;  // that links it
};

struct ReportedChange {
  std::string object;
  std::string name;  // readable
  bool is_function;
  bool is_new;
  std::string why;  // it has changed
};

struct UpdateReport {
  std::vector<ReportedChange> changes;
  std::vector<Explanation> explanations;
  std::vector<Finding> findings;
  std::vector<std::string> imports;  // readable names of what the module uses
  // Objects of other programs, and sources that the program was linked from and
  // of which no object was given (ProgramObjects).
  std::vector<std::string> left_out;
  std::vector<std::string> not_compared;
  std::uint64_t objects = 0;  // that were compared
  std::uint64_t identical_objects = 0;
  std::uint64_t same_functions = 0;
  std::uint64_t moved_functions = 0;  // differ in numbers of lines only
  std::uint64_t redirected_functions = 0;
  std::uint64_t hooks = 0;  // that the update calls
  // New instances of templates and inline functions, in all objects.
  std::uint64_t new_instances = 0;

  bool is_refused() const;
  // Nothing would run otherwise than before: the new build has the same code,
  // or what differs is used by no function.
  bool is_empty() const { return redirected_functions == 0 && hooks == 0; }
};

// Without a refusal in the report, the module has been written, unless the
// report is empty or no output was asked for.
// Errors: what cannot be read or written, named; objects that the program was
// not linked from; what the linker says.
absl::StatusOr<UpdateReport> MakeUpdate(const UpdateRequest& request);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_UPDATE_MAKER_H_

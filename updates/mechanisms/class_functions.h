// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions that a thread may be inside of while it uses a class: its
// member functions, and those with the class in their signature. While one of
// them is active, objects of the class must not change under it.
//
//   INSTAR_ASSIGN_OR_RETURN(const WatchedFunctions inside,
//                           FunctionsOfClasses<Site>());
//   ... stop the threads ...
//   if (!FindActivity(stack, inside.set()).quiescent()) return NotYet(...);
//
// Found by their names, in the program and in all objects that are loaded, and
// watched with their inlined copies and all their versions
// (stack/function_set.h). A function counts if its readable name has the class
// in it: as its scope (`Site::Render()`, a lambda in it, a nested class), in a
// parameter (`Print(Site const&)`, `Sort(std::vector<Site*>&)`), or in a
// template argument.
//
// Not watched are functions of namespaces std, absl and boost and of this
// library: what they do to an object they do by its own functions, and some of
// them are on the stack of a thread from its start to its end
// (`std::__invoke_impl<void, void (*)(Site&), ...>`).
//
// What no name tells, and nothing here finds:
//   - functions that come by the class in another way: over a global, a base
//     class, a class that holds one; those that return it and do not take it
//     (`Site* FindSite(int)`); functions of C linkage: `watch_also`
//   - functions of unnamed namespaces that were inlined wherever they are
//     called, so that no code of their own is left
//
// Objects of which not all functions are known. Of one that was stripped, and
// is an update module or exports a function of the class, all code counts: a
// thread that is anywhere in it may be inside. Code that has never run is on no
// stack, so a module that has just been loaded is in nobody's way; one in which
// a thread stays is, until its debug file lies beside it. The calling thread
// alone, which may well be in that module, is looked at by the names that are
// known (WatchedFunctions::FindOnOwn()).
//
// A thread whose function takes the class as a parameter, Main(Site&), is
// always inside: `leave_out` it. Whoever does says that it holds no part of an
// object's state in local variables at the moments at which it can be stopped;
// pointers and references to objects do no harm.
//
// Lifetime: the set is what holds at the time of the call
// (stack/function_set.h). Threads: any; takes locks and reads symbols and debug
// information: before threads are stopped.
//
// Errors:
//   NotFound            no function has a class of that name (given by name);
//                       a function to leave out or to watch is not there
//   FailedPrecondition  the program was stripped; code that was compiled to be
//                       updatable has no debug information that can be read,
//                       and may hold copies of functions of the class; those of
//                       WatchedFunctions::Make()

#ifndef INSTAR_UPDATES_MECHANISMS_CLASS_FUNCTIONS_H_
#define INSTAR_UPDATES_MECHANISMS_CLASS_FUNCTIONS_H_

#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "heap/internal/version_change.h"
#include "stack/function_set.h"

namespace instar {

struct ClassFunctionsOptions {
  // Names of functions, as Function::Named() takes them.
  std::vector<std::string> leave_out;
  std::vector<std::string> watch_also;
  // As of WatchedFunctions: code that was compiled without debug information.
  bool ignore_unknown_copies = false;
  // False: of objects that were loaded since PreloadClassFunctions() the debug
  // information is not read (milliseconds); all of their code counts.
  bool read_debug_information = true;
};

// Reads what the functions below need of the objects that are loaded now: tens
// of milliseconds for a large program, once, early.
void PreloadClassFunctions();

// Names as C++ writes them, from the global namespace on: "shop::Site",
// "Box<int>".
absl::StatusOr<WatchedFunctions> FunctionsOfClassesNamed(
    absl::Span<const std::string> names,
    const ClassFunctionsOptions& options = {});

// None of them need have a function.
absl::StatusOr<WatchedFunctions> FunctionsOfTypes(
    absl::Span<const std::type_info* const> types,
    const ClassFunctionsOptions& options = {});

template <typename... Classes>
absl::StatusOr<WatchedFunctions> FunctionsOfClasses(
    const ClassFunctionsOptions& options = {}) {
  static_assert(sizeof...(Classes) > 0 && (std::is_class_v<Classes> && ...),
                "instar: FunctionsOfClasses<> takes classes");
  return FunctionsOfTypes({&typeid(Classes)...}, options);
}

// All versions of an updatable class: the class as the program was built with
// it, every version that is in use, and Old and New, which may be none yet.
template <typename Old, typename New>
std::vector<const std::type_info*> TypesOfChange() {
  std::vector<const std::type_info*> types =
      TypesOfVersions(Old::UpdatableRoot::Class());
  types.push_back(&typeid(Old));
  types.push_back(&typeid(New));
  return types;
}

// Of these: what must be quiescent before Old becomes New, or New becomes Old
// again.
template <typename Old, typename New>
absl::StatusOr<WatchedFunctions> FunctionsOfVersions(
    const ClassFunctionsOptions& options = {}) {
  return FunctionsOfTypes(TypesOfChange<Old, New>(), options);
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_CLASS_FUNCTIONS_H_

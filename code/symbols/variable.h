// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Variables of the running program and of the shared objects it has loaded, by
// name: file-local ones and static variables of functions too. So the new
// version of a function goes on with the old one's statics.
//
//   absl::StatusOr<int*> hits = FindVariable<int>("shop::Serve(int)::hits");
//   if (!hits.ok()) return hits.status();
//   ++**hits;
//
// Names are linkage names (_ZN4shop5limitE) or qualified ones (shop::limit). A
// static variable of a function is called after it, with or without parameter
// types: shop::Serve(int)::hits, shop::Serve::hits. As with functions,
// `(anonymous namespace)::` and template arguments may be left out.
//
// Only what is in a symbol table can be found: not what the compiler made a
// constant or a register of, and of a stripped file only what it exports.
//
// A thread-local variable is the calling thread's own.
//
// The pointer is valid as long as the object that holds the variable is loaded
// (for a thread-local one, also as long as the thread lives). It says nothing
// of who else uses the variable: synchronize as the program does. The type is
// checked by its size only.
//
// Threads: may be called from any thread, also while others load and unload
// objects. Takes locks, and the first call that needs a file reads it
// (milliseconds): call it before threads are stopped.

#ifndef INSTAR_CODE_SYMBOLS_VARIABLE_H_
#define INSTAR_CODE_SYMBOLS_VARIABLE_H_

#include <cstddef>
#include <string>
#include <typeinfo>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {

struct Variable {
  void* address = nullptr;
  size_t size = 0;    // in bytes, as in the symbol table; 0 if not known
  std::string name;   // for people
  std::string image;  // the path of the program or shared object
  bool is_thread_local = false;

  // `image`, when given, is the path of the object to search, or how it ends.
  // A name that several objects export means the variable that the dynamic
  // linker binds to.
  // Errors: NotFound, with similar names, and the objects that were stripped;
  // FailedPrecondition if ambiguous, with the candidates.
  static absl::StatusOr<Variable> Named(absl::string_view name,
                                        absl::string_view image = {});
};

namespace code_internal {
absl::Status CheckSize(const Variable& variable, size_t size,
                       const std::type_info& type);
}  // namespace code_internal

// The variable of that name, which is a T. Say `const T` of one that is not to
// be written: constants lie in memory that cannot be.
// Errors: those of Variable::Named(); InvalidArgument if it does not have the
// size of a T.
template <typename T>
absl::StatusOr<T*> FindVariable(absl::string_view name,
                                absl::string_view image = {}) {
  const absl::StatusOr<Variable> variable = Variable::Named(name, image);
  if (!variable.ok()) return variable.status();
  const absl::Status status =
      code_internal::CheckSize(*variable, sizeof(T), typeid(T));
  if (!status.ok()) return status;
  return static_cast<T*>(variable->address);
}

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_VARIABLE_H_

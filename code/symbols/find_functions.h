// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// All functions of the running program whose names have a property.
//
//   const FoundFunctions found = FindFunctions([](absl::string_view name) {
//     return absl::StartsWith(name, "_ZN4shop4Site");
//   });
//
// Looked at are the linkage names of all functions with code of their own in a
// loaded object, and of the copies that were inlined into others (from debug
// information, which does not name those of unnamed namespaces).
//
// What is looked for again and again, as objects are loaded, is looked for by
// one FunctionSearch: it looks only at objects that it has not seen.
//
// Threads: any. Takes locks; the first call reads the symbols and the debug
// information of all objects (milliseconds, see PreloadFindFunctions()): before
// threads are stopped.

#ifndef INSTAR_CODE_SYMBOLS_FIND_FUNCTIONS_H_
#define INSTAR_CODE_SYMBOLS_FIND_FUNCTIONS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "base/fork_mutex.h"
#include "code/symbols/function.h"
#include "code/symbols/images/code_range.h"

namespace instar {

namespace code_internal {
class InlinedCopyTable;
}  // namespace code_internal

// A copy of a function, inlined into another one.
struct InlinedFunction {
  std::string name;  // readable
  InlinedCopy copy;
};

// An object of which not all functions are known.
struct UnknownImage {
  std::string name;
  CodeRange code;
  bool is_program = false;
  std::string why;  // "it was stripped of symbols"
};

struct FoundFunctions {
  std::vector<Function> functions;       // by address
  std::vector<InlinedFunction> inlined;  // a function may have several copies
  // The program and update modules, if they were stripped or cannot be read;
  // other objects, if they were stripped and export a function that was found,
  // or have units that were compiled to be updatable, but without debug
  // information that can be read.
  std::vector<UnknownImage> unknown;
  // What of the program may hold copies that nobody knows: such units of it; a
  // sentence. (code_internal::UndescribedCode())
  std::vector<std::string> undescribed;
};

struct FindOptions {
  // If not empty: only linkage names that have one of these in them, each of
  // them an identifier with its length before it ("4Site"). In large objects
  // that is found by an index.
  std::vector<std::string> parts;
  // False: objects whose debug information has not been read by anyone are not
  // read; they are among `unknown`. It has no effect while that of the program
  // has not been read.
  bool read_debug_information = true;
};

// `matches` is called with each name, for a function with several until it
// says yes.
FoundFunctions FindFunctions(
    absl::FunctionRef<bool(absl::string_view linkage_name)> matches,
    const FindOptions& options = {});

// The same, made again. It remembers what each file had, for as long as it
// lives, also when the object is unloaded and loaded again.
class FunctionSearch {
 public:
  using Matches = std::function<bool(absl::string_view linkage_name)>;

  // `matches` always says the same of a name; for `parts` see FindOptions.
  explicit FunctionSearch(Matches matches, std::vector<std::string> parts = {});
  ~FunctionSearch();

  // As FindFunctions(), of the objects that are loaded now.
  FoundFunctions Find(bool read_debug_information = true);

 private:
  struct Copy;
  struct InFile;

  std::vector<const code_internal::FunctionRecord*> LookForFunctions(
      const code_internal::SymbolTable& symbols) const;
  std::vector<Copy> LookForCopies(
      const code_internal::InlinedCopyTable& table) const;
  bool HasPart(absl::string_view linkage_name) const;

  const Matches matches_;
  const std::vector<std::string> parts_;
  ForkMutex lock_;
  absl::flat_hash_map<const code_internal::SymbolTable*, InFile> known_;
};

// What nobody can know: code of the program, and of objects of which parts are
// updatable, that was not compiled to be updatable and has no debug information
// (what the compiler and the C library add, assembly, libraries). If it uses an
// inline function, or a class, it may hold copies. "12 functions of
// /usr/bin/shop that are not updatable have no debug information (_start,
// ...)"; empty if there is none.
std::string CodeOfUnknownCopies();

// Another number when more, or other things, are known of where functions have
// been inlined: what has been found before may be old.
std::uint64_t KnownInlinedCopies();

// Reads all that a search needs of the objects that are loaded now.
void PreloadFindFunctions();

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_FIND_FUNCTIONS_H_

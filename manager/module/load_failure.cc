// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/load_failure.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "code/symbols/images/symbol_name.h"
#include "manager/module/elf_image.h"

namespace instar {
namespace manager_internal {
namespace {

constexpr std::size_t kMaxNamed = 10;

// The symbols that nobody defines, demangled.
std::vector<std::string> MissingSymbols(const ModuleFile& file,
                                        absl::Span<void* const> required) {
  std::vector<void*> handles;
  for (const absl::string_view needed : file.image().needed()) {
    void* const handle = dlopen(std::string(needed).c_str(), RTLD_LAZY);
    if (handle != nullptr) handles.push_back(handle);
  }
  std::vector<std::string> missing;
  for (const absl::string_view symbol : file.UndefinedSymbols()) {
    const std::string name(symbol);
    const auto defines = [&name](void* handle) {
      dlerror();
      return dlsym(handle, name.c_str()) != nullptr || dlerror() == nullptr;
    };
    const bool is_defined =
        defines(RTLD_DEFAULT) ||
        std::any_of(handles.begin(), handles.end(), defines) ||
        std::any_of(required.begin(), required.end(), defines);
    if (!is_defined) missing.push_back(code_internal::Demangle(name));
  }
  for (void* const handle : handles) dlclose(handle);
  return missing;
}

}  // namespace

absl::Status Refuse(const ModuleFile& file, absl::string_view reason) {
  return absl::FailedPreconditionError(
      absl::StrCat(file.path(), " cannot be loaded: ", reason));
}

absl::Status ExplainLoadFailure(const ModuleFile& file,
                                absl::Span<void* const> required,
                                absl::string_view linker_says) {
  std::vector<std::string> missing = MissingSymbols(file, required);
  if (!missing.empty()) {
    const std::size_t count = missing.size();
    missing.resize(std::min(count, kMaxNamed));
    return Refuse(
        file,
        absl::StrCat(
            "the program does not have what it uses: ",
            absl::StrJoin(missing, ", "),
            count > kMaxNamed
                ? absl::StrCat(" and ", count - kMaxNamed, " more")
                : "",
            "; put the library that defines it into the program's deps as an "
            "updatable_cc_library (or a cc_library with alwayslink = 1), or "
            "the source file into the module's srcs, and build both again"));
  }
  if (absl::StrContains(linker_says, "static TLS")) {
    return Refuse(file,
                  absl::StrCat(linker_says,
                               "; its thread_local variables are accessed in a "
                               "way that has room for few bytes: compile it "
                               "without -ftls-model=initial-exec, or allocate "
                               "them"));
  }
  return Refuse(file, linker_says);
}

}  // namespace manager_internal
}  // namespace instar

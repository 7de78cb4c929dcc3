// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/class_functions.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/fork_mutex.h"
#include "base/status_macros.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace {

using code_internal::CanonicalName;
using code_internal::Demangle;
using code_internal::DemangleType;
using code_internal::QualifiedName;
using code_internal::WithoutTemplateArguments;

bool IsPartOfName(char c) { return absl::ascii_isalnum(c) || c == '_'; }

// Whether it is a function of a namespace that is not watched, see the header.
bool IsOfLibrary(absl::string_view qualified_name) {
  for (const absl::string_view scope :
       {"std::", "__gnu_cxx::", "absl::", "boost::"}) {
    if (absl::StartsWith(qualified_name, scope)) return true;
  }
  // Ours: templates of namespace instar and all of instar::..._internal.
  if (!absl::ConsumePrefix(&qualified_name, "instar::")) return false;
  const auto end = std::find_if_not(qualified_name.begin(),
                                    qualified_name.end(), &IsPartOfName);
  const auto size = static_cast<std::size_t>(end - qualified_name.begin());
  const absl::string_view rest = qualified_name.substr(size);
  return absl::StartsWith(rest, "<") ||
         (absl::StartsWith(rest, "::") &&
          absl::EndsWith(qualified_name.substr(0, size), "_internal"));
}

struct ClassName {
  std::string readable;
  std::string canonical;
  // A part that every linkage name with the class in it has: the identifier,
  // which the ABI writes out where it comes first (Itanium C++ ABI, 5.1.2).
  std::string in_linkage_name;
  // Whether a function was seen that has it in its name, one of a library too.
  bool has_function = false;
};

ClassName NameOf(absl::string_view readable) {
  ClassName name{std::string(readable), CanonicalName(readable), "", false};
  std::string plain = WithoutTemplateArguments(name.canonical);
  const std::size_t colons = plain.rfind("::");
  if (colons != std::string::npos) plain = plain.substr(colons + 2);
  if (std::all_of(plain.begin(), plain.end(), IsPartOfName)) {
    name.in_linkage_name = absl::StrCat(plain.size(), plain);
  }
  return name;
}

// Whether the canonical name of a function has that of the class in it, and not
// of another that is longer.
bool Mentions(absl::string_view function, absl::string_view name) {
  for (std::size_t at = function.find(name); at != absl::string_view::npos;
       at = function.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if (at > 0 && (IsPartOfName(function[at - 1]) || function[at - 1] == ':')) {
      continue;
    }
    if (end < function.size() &&
        (IsPartOfName(function[end]) || function[end] == '<')) {
      continue;
    }
    return true;
  }
  return false;
}

// What is asked of the name of a function that may be one of a class.
struct FunctionName {
  std::string canonical;
  bool is_of_library;
};

// Kept: modules have many names in common, and demangling takes microseconds.
const FunctionName& NameOfFunction(absl::string_view linkage_name) {
  static ForkGuarded<
      absl::flat_hash_map<std::string, std::unique_ptr<FunctionName>>>
      kept;
  const auto locked = kept.Lock();
  auto& names = *locked;
  const auto known = names.find(linkage_name);
  if (known != names.end()) return *known->second;
  const std::string readable = Demangle(linkage_name);
  auto name = std::make_unique<FunctionName>();
  name->canonical = CanonicalName(readable);
  name->is_of_library = IsOfLibrary(QualifiedName(readable));
  return *names.emplace(linkage_name, std::move(name)).first->second;
}

// The search for the functions of some classes. Kept, since it is made again
// after each load of an object, of which it looks at what is new.
class ClassSearch {
 public:
  explicit ClassSearch(std::vector<ClassName> names)
      : names_(std::move(names)),
        search_([this](absl::string_view name) { return Matches(name); },
                Parts()) {}

  // Makes it at the first call with these names.
  static ClassSearch& Of(std::vector<ClassName> names) {
    std::string key;
    for (const ClassName& name : names)
      absl::StrAppend(&key, name.canonical, ";");
    static ForkGuarded<
        absl::flat_hash_map<std::string, std::unique_ptr<ClassSearch>>>
        all;
    const auto locked = all.Lock();
    std::unique_ptr<ClassSearch>& search = (*locked)[key];
    if (search == nullptr) {
      search = std::make_unique<ClassSearch>(std::move(names));
    }
    return *search;
  }

  FoundFunctions Find(bool read_debug_information) {
    std::lock_guard<ForkMutex> lock(lock_);
    return search_.Find(read_debug_information);
  }

  const std::vector<ClassName>& names() const { return names_; }

  // The first one that no function had in its name, those of libraries
  // included; null if there is none.
  const ClassName* WithoutFunction() {
    std::lock_guard<ForkMutex> lock(lock_);
    for (const ClassName& name : names_) {
      if (!name.has_function) return &name;
    }
    return nullptr;
  }

 private:
  std::vector<std::string> Parts() const {
    std::vector<std::string> parts;
    for (const ClassName& name : names_) {
      if (name.in_linkage_name.empty()) return {};  // not found by the index
      parts.push_back(name.in_linkage_name);
    }
    return parts;
  }

  bool Matches(absl::string_view linkage_name) {
    const FunctionName& function = NameOfFunction(linkage_name);
    bool mentions = false;
    for (ClassName& name : names_) {
      if (!Mentions(function.canonical, name.canonical)) continue;
      name.has_function = true;
      mentions = true;
    }
    return mentions && !function.is_of_library;
  }

  // Of what is said of each name: not yet, or for good, wherever a fork()
  // comes.
  ForkMutex lock_;
  std::vector<ClassName> names_;
  FunctionSearch search_;
};

absl::StatusOr<WatchedFunctions> Watch(ClassSearch& search,
                                       const ClassFunctionsOptions& options) {
  FoundFunctions found = search.Find(options.read_debug_information);
  for (const UnknownImage& image : found.unknown) {
    if (!image.is_program) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "not all functions that use ", search.names()[0].readable,
        " are known, ", image.name, ": ", image.why,
        "; do not strip it (bazel build --strip=never), or keep its debug file "
        "beside it"));
  }
  if (!found.undescribed.empty() && !options.ignore_unknown_copies) {
    return absl::FailedPreconditionError(absl::StrCat(
        "not all code that uses ", search.names()[0].readable,
        " is known: ", found.undescribed[0],
        ", and may hold copies of its functions; compile them with -g, or set "
        "ClassFunctionsOptions::ignore_unknown_copies"));
  }
  std::vector<Function>& functions = found.functions;
  for (const std::string& name : options.leave_out) {
    INSTAR_ASSIGN_OR_RETURN(const Function function, Function::Named(name));
    functions.erase(std::remove(functions.begin(), functions.end(), function),
                    functions.end());
  }
  for (const std::string& name : options.watch_also) {
    INSTAR_ASSIGN_OR_RETURN(const Function function, Function::Named(name));
    functions.push_back(function);
  }
  WatchedFunctions::Options watch_options;
  watch_options.ignore_unknown_copies = options.ignore_unknown_copies;
  watch_options.read_debug_information = options.read_debug_information;
  watch_options.inlined = std::move(found.inlined);
  watch_options.images = std::move(found.unknown);
  return WatchedFunctions::Make(functions, std::move(watch_options));
}

}  // namespace

void PreloadClassFunctions() { PreloadFindFunctions(); }

absl::StatusOr<WatchedFunctions> FunctionsOfClassesNamed(
    absl::Span<const std::string> names, const ClassFunctionsOptions& options) {
  std::vector<ClassName> classes;
  for (const std::string& name : names) classes.push_back(NameOf(name));
  ClassSearch& search = ClassSearch::Of(std::move(classes));
  absl::StatusOr<WatchedFunctions> watched = Watch(search, options);
  if (!watched.ok()) return watched;
  const ClassName* const unknown = search.WithoutFunction();
  if (unknown == nullptr) return watched;
  return absl::NotFoundError(absl::StrCat(
      "no function of the program, or of an object that is loaded, has a "
      "class ",
      unknown->readable,
      " in its name; name it from the global namespace on, as in shop::Site"));
}

absl::StatusOr<WatchedFunctions> FunctionsOfTypes(
    absl::Span<const std::type_info* const> types,
    const ClassFunctionsOptions& options) {
  std::vector<ClassName> classes;
  for (const std::type_info* type : types) {
    classes.push_back(NameOf(DemangleType(type->name())));
  }
  return Watch(ClassSearch::Of(std::move(classes)), options);
}

}  // namespace instar

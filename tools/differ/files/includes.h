// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a source includes, as far as its text tells. Headers that define nothing
// but macros are in no debug information. Threads: any.

#ifndef INSTAR_TOOLS_DIFFER_FILES_INCLUDES_H_
#define INSTAR_TOOLS_DIFFER_FILES_INCLUDES_H_

#include <optional>
#include <set>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace differ {

struct Include {
  std::string name;             // empty: a macro tells
  bool is_in_brackets = false;  // and so may be the system's
};

// Of a line that is #include; nothing of another one.
std::optional<Include> IncludeOf(absl::string_view line);

// Where it is: beside the source that includes it, or in one of the folders.
// Nothing: in none of them.
std::optional<std::string> FindInclude(
    const Include& include, const std::string& source,
    const std::set<std::string>& folders,
    absl::FunctionRef<bool(const std::string& path)> is_there);

// Lines of the system's headers do not change from one build to the next.
bool IsOfSystem(absl::string_view path);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_INCLUDES_H_

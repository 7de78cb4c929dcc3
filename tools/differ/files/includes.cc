// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/includes.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace instar {
namespace differ {

std::optional<Include> IncludeOf(absl::string_view line) {
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "#")) return std::nullopt;
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "include")) return std::nullopt;
  line = absl::StripLeadingAsciiWhitespace(line);
  const bool is_in_brackets = absl::StartsWith(line, "<");
  if (!is_in_brackets && !absl::StartsWith(line, "\"")) return Include{};
  const std::size_t end = line.find(is_in_brackets ? '>' : '"', 1);
  if (end == absl::string_view::npos) return Include{};
  return Include{std::string(line.substr(1, end - 1)), is_in_brackets};
}

std::optional<std::string> FindInclude(
    const Include& include, const std::string& source,
    const std::set<std::string>& folders,
    absl::FunctionRef<bool(const std::string& path)> is_there) {
  if (include.name.empty()) return std::nullopt;
  if (absl::StartsWith(include.name, "/")) {
    return is_there(include.name) ? std::make_optional(include.name)
                                  : std::nullopt;
  }
  std::string path =
      absl::StrCat(source.substr(0, source.rfind('/') + 1), include.name);
  if (is_there(path)) return path;
  for (const std::string& folder : folders) {
    path = absl::StrCat(folder, "/", include.name);
    if (is_there(path)) return path;
  }
  return std::nullopt;
}

bool IsOfSystem(absl::string_view path) {
  return absl::StartsWith(path, "/usr/include/") ||
         absl::StartsWith(path, "/usr/lib/");
}

}  // namespace differ
}  // namespace instar

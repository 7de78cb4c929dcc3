// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/source_ages.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "tools/differ/dwarf/compilation_units.h"
#include "tools/differ/elf_file.h"
#include "tools/differ/files/archive.h"

namespace instar {
namespace differ {
namespace {

using Time = std::filesystem::file_time_type;

std::optional<Time> TimeOf(const std::string& path) {
  std::error_code error;
  const Time time = std::filesystem::last_write_time(path, error);
  if (error) return std::nullopt;
  return time;
}

}  // namespace

void WarnOfAges(const std::vector<ObjectFiles>& files, Findings& findings) {
  std::map<std::string, std::optional<Time>> times;
  for (const ObjectFiles& one : files) {
    const auto member = SplitMemberPath(one.new_path);
    const auto built = TimeOf(member ? member->archive : one.new_path);
    if (!built) continue;
    // What cannot be read is said where it is compared.
    const absl::StatusOr<ElfFile> object = ElfFile::Read(one.new_path);
    if (!object.ok()) continue;
    const auto sources = SourcesOfObject(*object);
    if (!sources.ok()) continue;
    for (const std::string& source : *sources) {
      const auto inserted = times.emplace(source, std::nullopt);
      std::optional<Time>& changed = inserted.first->second;
      if (inserted.second) changed = TimeOf(source);
      if (!changed || *changed <= *built) continue;
      findings.Warn(one.name,
                    absl::StrCat("is older than ", source,
                                 ": what has changed there since is not in "
                                 "the update. Build it anew"));
      break;
    }
  }
}

}  // namespace differ
}  // namespace instar

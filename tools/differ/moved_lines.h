// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Tells code that differs only in numbers of lines (__LINE__, as in assert())
// from code that has changed. Without it each such function below an inserted
// line would be redefined.
//
// A number counts as that of a line if debug information says that its
// instruction comes from that line, in both builds, if the text of the line is
// the same in both sources, and if no line that was added or changed spells the
// new number. So both sources have to be there. Whatever is in doubt has
// changed.

#ifndef INSTAR_TOOLS_DIFFER_MOVED_LINES_H_
#define INSTAR_TOOLS_DIFFER_MOVED_LINES_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/line_numbers.h"
#include "tools/differ/elf_file.h"

namespace instar {
namespace differ {

// Where sources are that debug information names. `from` at the begin of a
// name is replaced by `to`.
struct SourcePrefix {
  std::string from;
  std::string to;
};

// By the paths that debug information names.
using SourceTexts = std::map<std::string, std::string>;

// The sources of the old build, where they are not where they were.
struct OldSources {
  std::vector<SourcePrefix> prefixes;
  SourceTexts texts;
};

class MovedLines {
 public:
  explicit MovedLines(OldSources old_sources)
      : old_sources_(std::move(old_sources)) {}

  bool DifferInLinesOnly(const LineNumbers& old_lines,
                         const Section& old_section,
                         const LineNumbers& new_lines,
                         const Section& new_section);

 private:
  struct File {
    std::vector<std::string> lines;
    bool is_there = false;
  };

  const File& Read(const std::string& path);
  // Null: it is not known what was in it.
  const File* ReadOld(absl::string_view path, const std::string& new_path);
  bool IsMoved(const LineNumbers& old_lines, std::uint32_t old_section,
               std::uint32_t old_number, const LineNumbers& new_lines,
               std::uint32_t new_section, std::uint32_t new_number,
               std::uint64_t field);
  static bool AddsNumber(const File& old_file, const File& new_file,
                         std::uint32_t number);

  OldSources old_sources_;
  std::map<std::string, File> files_;
  std::map<std::string, File, std::less<>> old_files_;  // of old_sources_.texts
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_MOVED_LINES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Tells code that differs only in numbers of lines (__LINE__, as in assert())
// from code that has changed. Without it each such function below an inserted
// line would be redefined.
//
// A number counts as that of a line if debug information says that its
// instruction comes from that line, in both builds, or from a function that is
// called there and inlined, as the constructor of an object that knows its
// line; if the text of the line is the same in both sources; and if no line
// that was added or changed spells the new number, in none of the sources that
// the instruction comes from and those that these include, the system's left
// out. So all of these sources have to be there, in both builds. What they
// include is looked for beside them, and where any source of the object is.
// Whatever is in doubt has changed.
//
// The same of a variable (the sites of a log): by the line that it is declared
// in, and those of its initializer.

#ifndef INSTAR_TOOLS_DIFFER_MOVED_LINES_H_
#define INSTAR_TOOLS_DIFFER_MOVED_LINES_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/inlined_calls.h"
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

// What is asked of an object.
struct ObjectLines {
  const LineNumbers* numbers = nullptr;
  // Asked for if the numbers alone do not do; null if nothing is known.
  std::function<const InlinedCalls*()> calls;
};

class MovedLines {
 public:
  explicit MovedLines(OldSources old_sources)
      : old_sources_(std::move(old_sources)) {}

  // Lines of a source, as debug information names it; from 1, the last one
  // included.
  struct Lines {
    std::string file;
    int first;
    int last;
  };

  // Whether both sources are there, and these lines are the same in them.
  bool HaveSameText(const Lines& old_lines, const Lines& new_lines);

  // The text of a line, from 1; empty: it is not there.
  std::string TextOfOldLine(const std::string& file, int line,
                            const std::string& new_file);
  std::string TextOfNewLine(const std::string& file, int line);

  // Whether two texts that instructions refer to, by fields in these places,
  // differ in a number of its line only ("shop.cc:12").
  bool DifferInLineOfText(const ObjectLines& old_lines,
                          const ObjectPlace& old_field,
                          absl::string_view old_text,
                          const ObjectLines& new_lines,
                          const ObjectPlace& new_field,
                          absl::string_view new_text);

  bool DifferInLinesOnly(const ObjectLines& old_lines,
                         const Section& old_section,
                         const ObjectLines& new_lines,
                         const Section& new_section);

  // A variable, with the line that it is declared in.
  struct Declared {
    std::string file;
    int line;
    absl::string_view contents;
  };
  bool DifferInLinesOfVariable(const Declared& was, const Declared& is,
                               const ObjectLines& new_lines);

 private:
  struct File {
    std::vector<std::string> lines;
    bool is_there = false;
  };

  // Where a line is, in each of two builds.
  struct Operand {
    const ObjectLines& lines;
    ObjectPlace begin;
    std::uint64_t size;
    std::uint32_t number;
  };

  static std::string LineOf(const File& file, int line);
  const File& Read(const std::string& path);
  const File& ReadNew(const SourceLine& line);
  // Null: it is not known what was in it.
  const File* ReadOld(const SourceLine& line, const SourceLine& new_line);
  const File* ReadOld(const std::string& path, const std::string& new_path);
  // Of the instruction that has this field.
  static Operand OperandAt(const ObjectLines& lines, const ObjectPlace& field,
                           std::uint32_t number);
  bool IsMoved(const Operand& old_operand, const Operand& new_operand);
  // By one of these lines of either build.
  bool IsLine(const std::vector<SourceLine>& old_lines,
              std::uint32_t old_number,
              const std::vector<SourceLine>& new_lines,
              std::uint32_t new_number, const ObjectLines& of_new);
  // Whether these sources are known not to spell the number anew.
  bool AddNone(const std::vector<SourceLine>& lines, std::uint32_t number,
               const ObjectLines& of);
  // The lines that a source, and what it includes, has got. Nothing: it is not
  // known.
  using Added = std::optional<std::vector<std::string>>;
  const Added& AddedIn(const SourceLine& old_line, const SourceLine& new_line,
                       const ObjectLines& of);
  Added AddedNow(const std::string& old_path, const std::string& new_path,
                 const std::set<std::string>& folders);

  OldSources old_sources_;
  std::map<std::pair<std::string, std::string>, Added> added_;  // by paths
  std::map<std::string, File> files_;
  std::map<std::string, File, std::less<>> old_files_;  // of old_sources_.texts
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_MOVED_LINES_H_

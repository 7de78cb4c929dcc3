// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which line of the source an instruction of an object comes from.
//
//   INSTAR_ASSIGN_OR_RETURN(const LineNumbers lines, LineNumbers::Of(*info));
//   const auto line = lines.Find({section, offset});
//   if (line.has_value()) ... line->file, line->line ...
//
// Lifetime: files' names point into the ObjectDebugInfo.
// Threads: immutable.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_LINE_NUMBERS_H_
#define INSTAR_TOOLS_DIFFER_DWARF_LINE_NUMBERS_H_

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

struct SourceLine {
  absl::string_view file;  // as the table has it, which may be in `folder`
  int line;
  absl::string_view folder;  // that the compiler ran in; empty: not known
};

class LineNumbers {
 public:
  // Errors: InvalidArgument, which names the object, if the table is damaged.
  static absl::StatusOr<LineNumbers> Of(const ObjectDebugInfo& object);

  // The names of all files that a row names.
  std::set<absl::string_view> Files() const;

  // Where the sources are that the tables list, also those without a row, as
  // headers of declarations.
  const std::set<std::string>& folders() const { return folders_; }

  // The row that covers this instruction, the last of those that begin at one
  // address. Nothing where no row is, or one that says that no line is meant.
  std::optional<SourceLine> Find(const ObjectPlace& place) const;

  // The lines of all rows that begin at the address where that one does: an
  // instruction may stand for several lines.
  std::vector<SourceLine> FindAll(const ObjectPlace& place) const;

  // Of all rows of [begin, begin + size), the one that covers the begin first,
  // in the order of addresses.
  std::vector<SourceLine> FindAll(const ObjectPlace& begin,
                                  std::uint64_t size) const;

 private:
  struct Row {
    ObjectPlace place;
    const char* file;
    int line;  // 0: none; -1: the end of a sequence, what follows has no rows
    const char* folder;
  };

  void AddFolders(Dwarf_Die& unit, const std::string& compiled_in);

  // The first row that begins where the one that covers `place` does.
  std::vector<Row>::const_iterator FirstAt(const ObjectPlace& place) const;

  std::set<std::string> folders_;
  std::vector<Row> rows_;  // by place; of one place in the table's order
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_LINE_NUMBERS_H_

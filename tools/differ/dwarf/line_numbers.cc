// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/line_numbers.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {

absl::StatusOr<LineNumbers> LineNumbers::Of(const ObjectDebugInfo& object) {
  LineNumbers result;
  for (const DieIndex unit : object.dies().units()) {
    Dwarf_Die die;
    Dwarf_Lines* lines = nullptr;
    std::size_t count = 0;
    if (dwarf_offdie(object.dwarf(), object.dies()[unit].offset, &die) ==
        nullptr) {
      continue;
    }
    if (dwarf_hasattr(&die, DW_AT_stmt_list) == 0) continue;
    if (dwarf_getsrclines(&die, &lines, &count) != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(object.file().path(),
                       " has a damaged line table: ", dwarf_errmsg(-1)));
    }
    Dwarf_Attribute attribute;
    const char* const folder =
        dwarf_formstring(dwarf_attr(&die, DW_AT_comp_dir, &attribute));
    result.AddFolders(die, folder == nullptr ? "" : folder);
    result.rows_.reserve(result.rows_.size() + count);
    for (std::size_t i = 0; i < count; ++i) {
      Dwarf_Line* const line = dwarf_onesrcline(lines, i);
      Dwarf_Addr address = 0;
      int number = 0;
      bool is_end = false;
      if (line == nullptr || dwarf_lineaddr(line, &address) != 0 ||
          dwarf_lineno(line, &number) != 0 ||
          dwarf_lineendsequence(line, &is_end) != 0) {
        continue;
      }
      const char* const file = dwarf_linesrc(line, nullptr, nullptr);
      result.rows_.push_back({ObjectDebugInfo::PlaceOf(address),
                              file == nullptr ? "" : file, is_end ? -1 : number,
                              folder == nullptr ? "" : folder});
    }
  }
  // The end of a sequence gives way to another one that begins there.
  std::stable_sort(
      result.rows_.begin(), result.rows_.end(), [](const Row& a, const Row& b) {
        const bool a_begins = a.line >= 0;
        const bool b_begins = b.line >= 0;
        return std::tie(a.place, a_begins) < std::tie(b.place, b_begins);
      });
  return result;
}

void LineNumbers::AddFolders(Dwarf_Die& unit, const std::string& compiled_in) {
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (dwarf_getsrcfiles(&unit, &files, &count) != 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    const char* const name = dwarf_filesrc(files, i, nullptr, nullptr);
    if (name == nullptr) continue;
    const std::string file = absl::StartsWith(name, "/")
                                 ? std::string(name)
                                 : absl::StrCat(compiled_in, "/", name);
    const std::size_t slash = file.rfind('/');
    if (slash != std::string::npos) folders_.insert(file.substr(0, slash));
  }
}

std::set<absl::string_view> LineNumbers::Files() const {
  std::set<absl::string_view> files;
  const char* last = nullptr;
  for (const Row& row : rows_) {
    if (row.file != last) files.insert(row.file);
    last = row.file;
  }
  return files;
}

std::vector<LineNumbers::Row>::const_iterator LineNumbers::FirstAt(
    const ObjectPlace& place) const {
  auto row = std::upper_bound(
      rows_.begin(), rows_.end(), place,
      [](const ObjectPlace& p, const Row& r) { return p < r.place; });
  if (row == rows_.begin()) return rows_.end();
  --row;
  if (row->place.section != place.section || row->line < 0) return rows_.end();
  while (row != rows_.begin() && (row - 1)->place == row->place &&
         (row - 1)->line >= 0) {
    --row;
  }
  return row;
}

std::vector<SourceLine> LineNumbers::FindAll(const ObjectPlace& place) const {
  std::vector<SourceLine> lines;
  const auto first = FirstAt(place);
  for (auto row = first; row != rows_.end() && row->place == first->place;
       ++row) {
    if (row->line > 0) lines.push_back({row->file, row->line, row->folder});
  }
  return lines;
}

std::optional<SourceLine> LineNumbers::Find(const ObjectPlace& place) const {
  const auto first = FirstAt(place);
  if (first == rows_.end()) return std::nullopt;
  auto last = first;
  while (last + 1 != rows_.end() && (last + 1)->place == first->place) ++last;
  if (last->line <= 0) return std::nullopt;
  return SourceLine{last->file, last->line, last->folder};
}

std::vector<SourceLine> LineNumbers::FindAll(const ObjectPlace& begin,
                                             std::uint64_t size) const {
  std::vector<SourceLine> lines = FindAll(begin);
  auto row = std::upper_bound(
      rows_.begin(), rows_.end(), begin,
      [](const ObjectPlace& p, const Row& r) { return p < r.place; });
  for (; row != rows_.end() && row->place.section == begin.section &&
         row->place.offset < begin.offset + size;
       ++row) {
    if (row->line > 0) lines.push_back({row->file, row->line, row->folder});
  }
  return lines;
}

}  // namespace differ
}  // namespace instar

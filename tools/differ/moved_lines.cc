// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/moved_lines.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace instar {
namespace differ {
namespace {

// Whether a constant of four bytes at `field` may be an operand: of mov to a
// register, of mov to memory, or of push.
bool IsOperand(absl::string_view code, std::uint64_t field) {
  if (field == 0) return false;
  const auto byte = [&](std::uint64_t i) {
    return static_cast<unsigned char>(code[i]);
  };
  const unsigned char before = byte(field - 1);
  if ((before >= 0xb8 && before <= 0xbf) || before == 0x68) return true;
  for (std::uint64_t i = field - std::min<std::uint64_t>(field, 7); i < field;
       ++i) {
    if (byte(i) == 0xc7) return true;
  }
  return false;
}

bool HasNumber(absl::string_view text, const std::string& number) {
  for (std::size_t at = text.find(number); at != absl::string_view::npos;
       at = text.find(number, at + 1)) {
    const bool begins = at == 0 || !absl::ascii_isalnum(text[at - 1]);
    const std::size_t end = at + number.size();
    if (begins && (end == text.size() || !absl::ascii_isdigit(text[end]))) {
      return true;
    }
  }
  return false;
}

}  // namespace

const MovedLines::File& MovedLines::Read(const std::string& path) {
  const auto inserted = files_.emplace(path, File());
  File& file = inserted.first->second;
  if (inserted.second) {
    std::ifstream in(path);
    file.is_there = in.good();
    for (std::string line; std::getline(in, line);) {
      file.lines.push_back(std::move(line));
    }
  }
  return file;
}

const MovedLines::File* MovedLines::ReadOld(absl::string_view path,
                                            const std::string& new_path) {
  const auto known = old_files_.find(path);
  if (known != old_files_.end()) return &known->second;
  const auto text = old_sources_.texts.find(std::string(path));
  if (text != old_sources_.texts.end()) {
    File& file = old_files_[text->first];
    file.lines = absl::StrSplit(text->second, '\n');
    file.is_there = true;
    return &file;
  }
  std::string old_path(path);
  for (const SourcePrefix& prefix : old_sources_.prefixes) {
    if (!absl::StartsWith(path, prefix.from)) continue;
    old_path = absl::StrCat(prefix.to, path.substr(prefix.from.size()));
    break;
  }
  // The same file says nothing of what it was before.
  return old_path == new_path ? nullptr : &Read(old_path);
}

bool MovedLines::DifferInLinesOnly(const LineNumbers& old_lines,
                                   const Section& old_section,
                                   const LineNumbers& new_lines,
                                   const Section& new_section) {
  const absl::string_view a = old_section.bytes;
  const absl::string_view b = new_section.bytes;
  if (a.size() != b.size()) return false;
  for (std::uint64_t at = 0; at < a.size();) {
    if (a[at] == b[at]) {
      ++at;
      continue;
    }
    std::optional<std::uint64_t> end;
    for (std::uint64_t back = 0; back < 4 && back <= at && !end; ++back) {
      const std::uint64_t field = at - back;
      const auto old_number = ReadAt<std::uint32_t>(a, field);
      const auto new_number = ReadAt<std::uint32_t>(b, field);
      if (old_number && new_number && IsOperand(a, field) &&
          IsMoved(old_lines, old_section.index, *old_number, new_lines,
                  new_section.index, *new_number, field)) {
        end = field + 4;
      }
    }
    if (!end) return false;
    at = *end;
  }
  return true;
}

bool MovedLines::IsMoved(const LineNumbers& old_lines,
                         std::uint32_t old_section, std::uint32_t old_number,
                         const LineNumbers& new_lines,
                         std::uint32_t new_section, std::uint32_t new_number,
                         std::uint64_t field) {
  // The longest instruction that has it begins seven bytes before.
  const std::uint64_t begin = field - std::min<std::uint64_t>(field, 7);
  const auto find = [&](const LineNumbers& lines, std::uint32_t section,
                        std::uint32_t number) {
    std::vector<std::string> files;
    for (const SourceLine& line :
         lines.FindAll({section, begin}, field - begin + 1)) {
      if (line.line >= 0 && static_cast<std::uint32_t>(line.line) == number) {
        files.emplace_back(line.file);
      }
    }
    return files;
  };
  const std::vector<std::string> old_files =
      find(old_lines, old_section, old_number);
  const std::vector<std::string> new_files =
      find(new_lines, new_section, new_number);
  for (const std::string& old_file : old_files) {
    for (const std::string& new_path : new_files) {
      const auto base = [](const std::string& path) {
        return path.substr(path.rfind('/') + 1);
      };
      if (base(old_file) != base(new_path)) continue;
      const File* old_text = ReadOld(old_file, new_path);
      const File& new_text = Read(new_path);
      if (old_text == nullptr || !old_text->is_there || !new_text.is_there ||
          old_number == 0 || new_number == 0 ||
          old_number > old_text->lines.size() ||
          new_number > new_text.lines.size()) {
        continue;
      }
      if (old_text->lines[old_number - 1] == new_text.lines[new_number - 1] &&
          !AddsNumber(*old_text, new_text, new_number)) {
        return true;
      }
    }
  }
  return false;
}

// Whether the new source spells this number in a line that the old one has not.
bool MovedLines::AddsNumber(const File& old_file, const File& new_file,
                            std::uint32_t number) {
  const std::string text = absl::StrCat(number);
  std::multiset<absl::string_view> known(old_file.lines.begin(),
                                         old_file.lines.end());
  for (const std::string& line : new_file.lines) {
    const auto found = known.find(line);
    if (found != known.end()) {
      known.erase(found);
    } else if (HasNumber(line, text)) {
      return true;
    }
  }
  return false;
}

}  // namespace differ
}  // namespace instar

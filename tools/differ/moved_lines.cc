// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/moved_lines.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tools/differ/files/includes.h"

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

// The number that a token of the source is: "0x1f", "037", "0b11'111", "31u".
std::optional<std::uint64_t> ValueOf(absl::string_view token) {
  std::string digits = absl::AsciiStrToLower(token);
  digits.erase(std::remove(digits.begin(), digits.end(), '\''), digits.end());
  int base = 10;
  std::size_t begin = 0;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = digits[1];
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    begin = base == 8 ? 1 : 2;
  }
  const std::size_t end = digits.find_last_not_of("ulz") + 1;
  if (end <= begin) return std::nullopt;
  char* rest = nullptr;
  const std::string number = digits.substr(begin, end - begin);
  const std::uint64_t value = std::strtoull(number.c_str(), &rest, base);
  if (*rest != 0) return std::nullopt;
  return value;
}

// Whether a token is the number, however it is written.
bool HasValue(absl::string_view text, std::uint32_t number) {
  const auto is_in_token = [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '\'' || c == '.';
  };
  for (std::size_t at = 0; at < text.size();) {
    // The mark of a character begins none.
    if (!is_in_token(text[at]) || text[at] == '\'') {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && is_in_token(text[end])) ++end;
    if (ValueOf(text.substr(at, end - at)) == number) return true;
    at = end;
  }
  return false;
}

// Whether its digits are there, also within a text or another number (5.0).
bool HasNumber(absl::string_view text, const std::string& number) {
  for (std::size_t at = text.find(number); at != absl::string_view::npos;
       at = text.find(number, at + 1)) {
    const bool begins = at == 0 || !absl::ascii_isalnum(text[at - 1]);
    const std::size_t end = at + number.size();
    const bool is_hexadecimal = absl::StartsWith(number, "0x");
    if (begins && (end == text.size() ||
                   !(is_hexadecimal ? absl::ascii_isxdigit(text[end])
                                    : absl::ascii_isdigit(text[end])))) {
      return true;
    }
  }
  return false;
}

std::string InFolder(const SourceLine& line) {
  return line.folder.empty() || absl::StartsWith(line.file, "/")
             ? std::string(line.file)
             : absl::StrCat(line.folder, "/", line.file);
}

// The lines that the new text has and the old one has not.
std::vector<std::string> LinesAdded(const std::vector<std::string>& was,
                                    const std::vector<std::string>& is) {
  std::multiset<absl::string_view> known(was.begin(), was.end());
  std::vector<std::string> added;
  for (const std::string& line : is) {
    const auto found = known.find(line);
    if (found == known.end()) {
      added.push_back(line);
    } else {
      known.erase(found);
    }
  }
  return added;
}

// Whether one of the lines spells the number, or may as nobody knows them.
bool Spells(const std::optional<std::vector<std::string>>& lines,
            std::uint32_t number) {
  if (!lines) return true;
  std::vector<std::string> spelled = {absl::StrFormat("%u", number),
                                      absl::StrFormat("0x%x", number),
                                      absl::StrFormat("0%o", number)};
  std::string character;
  if (number < 256) {
    spelled.push_back(absl::StrFormat("'\\%o'", number));
    spelled.push_back(absl::StrFormat("'\\%03o'", number));
    spelled.push_back(absl::StrFormat("'\\x%x'", number));
    character = absl::StrFormat("'%c'", static_cast<char>(number));
  }
  return std::any_of(
      lines->begin(), lines->end(), [&](const std::string& line) {
        const std::string lower = absl::AsciiStrToLower(line);
        return (!character.empty() && absl::StrContains(line, character)) ||
               HasValue(line, number) ||
               std::any_of(spelled.begin(), spelled.end(),
                           [&](const std::string& text) {
                             return HasNumber(lower, text);
                           });
      });
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

const MovedLines::File& MovedLines::ReadNew(const SourceLine& line) {
  const File& file = Read(std::string(line.file));
  return file.is_there ? file : Read(InFolder(line));
}

const MovedLines::File* MovedLines::ReadOld(const SourceLine& line,
                                            const SourceLine& new_line) {
  const std::string path(line.file);
  const File* const file = ReadOld(path, std::string(new_line.file));
  const std::string in_folder = InFolder(line);
  return (file != nullptr && file->is_there) || in_folder == path
             ? file
             : ReadOld(in_folder, InFolder(new_line));
}

const MovedLines::File* MovedLines::ReadOld(const std::string& path,
                                            const std::string& new_path) {
  const auto known = old_files_.find(path);
  if (known != old_files_.end()) return &known->second;
  const auto text = old_sources_.texts.find(path);
  if (text != old_sources_.texts.end()) {
    File& file = old_files_[text->first];
    file.lines = absl::StrSplit(text->second, '\n');
    file.is_there = true;
    return &file;
  }
  std::string old_path = path;
  for (const SourcePrefix& prefix : old_sources_.prefixes) {
    if (!absl::StartsWith(path, prefix.from)) continue;
    old_path = absl::StrCat(prefix.to, path.substr(prefix.from.size()));
    break;
  }
  // The same file says nothing of what it was before.
  return old_path == new_path ? nullptr : &Read(old_path);
}

std::string MovedLines::LineOf(const File& file, int line) {
  return file.is_there && line > 0 &&
                 static_cast<std::size_t>(line) <= file.lines.size()
             ? file.lines[static_cast<std::size_t>(line) - 1]
             : "";
}

std::string MovedLines::TextOfOldLine(const std::string& file, int line,
                                      const std::string& new_file) {
  const File* const old_file = ReadOld(file, new_file);
  return old_file == nullptr ? "" : LineOf(*old_file, line);
}

std::string MovedLines::TextOfNewLine(const std::string& file, int line) {
  return LineOf(Read(file), line);
}

bool MovedLines::HaveSameText(const Lines& old_lines, const Lines& new_lines) {
  const File* const old_file = ReadOld(old_lines.file, new_lines.file);
  const File& new_file = Read(new_lines.file);
  const int count = old_lines.last - old_lines.first + 1;
  const auto has = [&](const File& file, const Lines& lines) {
    return file.is_there && lines.first > 0 && count > 0 &&
           static_cast<std::size_t>(lines.last) <= file.lines.size();
  };
  return old_file != nullptr && has(*old_file, old_lines) &&
         has(new_file, new_lines) &&
         new_lines.last - new_lines.first + 1 == count &&
         std::equal(old_file->lines.begin() + old_lines.first - 1,
                    old_file->lines.begin() + old_lines.last,
                    new_file.lines.begin() + new_lines.first - 1);
}

bool MovedLines::DifferInLinesOnly(const ObjectLines& old_lines,
                                   const Section& old_section,
                                   const ObjectLines& new_lines,
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
          IsMoved(
              OperandAt(old_lines, {old_section.index, field}, *old_number),
              OperandAt(new_lines, {new_section.index, field}, *new_number))) {
        end = field + 4;
      }
    }
    if (!end) return false;
    at = *end;
  }
  return true;
}

bool MovedLines::DifferInLinesOfVariable(const Declared& was,
                                         const Declared& is,
                                         const ObjectLines& new_lines) {
  const absl::string_view a = was.contents;
  const absl::string_view b = is.contents;
  if (a.size() != b.size()) return false;
  for (std::uint64_t at = 0; at < a.size(); at += 4) {
    if (a.substr(at, 4) == b.substr(at, 4)) continue;
    const auto old_number = ReadAt<std::uint32_t>(a, at);
    const auto new_number = ReadAt<std::uint32_t>(b, at);
    if (!old_number || !new_number) return false;
    const std::uint32_t behind =
        *old_number - static_cast<std::uint32_t>(was.line);
    if (*new_number - static_cast<std::uint32_t>(is.line) != behind) {
      return false;
    }
    // It ends with the declaration.
    for (std::uint32_t i = 0; i < behind; ++i) {
      const std::string text =
          TextOfNewLine(is.file, is.line + static_cast<int>(i));
      if (text.empty() || absl::StrContains(text, ';')) return false;
    }
    const int old_line = static_cast<int>(*old_number);
    const int new_line = static_cast<int>(*new_number);
    if (!HaveSameText({was.file, was.line, old_line},
                      {is.file, is.line, new_line}) ||
        !IsLine({{was.file, old_line, ""}}, *old_number,
                {{is.file, new_line, ""}}, *new_number, new_lines)) {
      return false;
    }
  }
  return true;
}

MovedLines::Operand MovedLines::OperandAt(const ObjectLines& lines,
                                          const ObjectPlace& field,
                                          std::uint32_t number) {
  // The longest instruction that has it begins seven bytes before.
  const std::uint64_t before = std::min<std::uint64_t>(field.offset, 7);
  return {lines, {field.section, field.offset - before}, before + 1, number};
}

bool MovedLines::DifferInLineOfText(const ObjectLines& old_lines,
                                    const ObjectPlace& old_field,
                                    absl::string_view old_text,
                                    const ObjectLines& new_lines,
                                    const ObjectPlace& new_field,
                                    absl::string_view new_text) {
  std::size_t begin = 0;
  while (begin < std::min(old_text.size(), new_text.size()) &&
         old_text[begin] == new_text[begin]) {
    ++begin;
  }
  while (begin > 0 && absl::ascii_isdigit(old_text[begin - 1])) --begin;
  const auto number_of = [&](absl::string_view text) {
    std::size_t end = begin;
    while (end < text.size() && absl::ascii_isdigit(text[end])) ++end;
    return text.substr(begin, end - begin);
  };
  const absl::string_view was = number_of(old_text);
  const absl::string_view is = number_of(new_text);
  std::uint32_t old_number = 0;
  std::uint32_t new_number = 0;
  return old_text.substr(begin + was.size()) ==
             new_text.substr(begin + is.size()) &&
         absl::SimpleAtoi(was, &old_number) &&
         absl::SimpleAtoi(is, &new_number) &&
         IsMoved(OperandAt(old_lines, old_field, old_number),
                 OperandAt(new_lines, new_field, new_number));
}

bool MovedLines::IsMoved(const Operand& old_operand,
                         const Operand& new_operand) {
  const auto rows = [](const Operand& operand) {
    return operand.lines.numbers->FindAll(operand.begin, operand.size);
  };
  const auto calls = [](const Operand& operand) {
    const InlinedCalls* const known = operand.lines.calls();
    return known == nullptr ? std::vector<SourceLine>()
                            : known->FindAll(operand.begin, operand.size);
  };
  const std::vector<SourceLine> new_rows = rows(new_operand);
  if (IsLine(rows(old_operand), old_operand.number, new_rows,
             new_operand.number, new_operand.lines)) {
    return true;
  }
  const std::vector<SourceLine> new_calls = calls(new_operand);
  return IsLine(calls(old_operand), old_operand.number, new_calls,
                new_operand.number, new_operand.lines) &&
         AddNone(new_rows, new_operand.number, new_operand.lines) &&
         AddNone(new_calls, new_operand.number, new_operand.lines);
}

bool MovedLines::IsLine(const std::vector<SourceLine>& old_lines,
                        std::uint32_t old_number,
                        const std::vector<SourceLine>& new_lines,
                        std::uint32_t new_number, const ObjectLines& of_new) {
  const auto is_of = [](const SourceLine& line, std::uint32_t number) {
    return line.line > 0 && static_cast<std::uint32_t>(line.line) == number;
  };
  const auto base = [](absl::string_view path) {
    return path.substr(path.rfind('/') + 1);
  };
  for (const SourceLine& old_line : old_lines) {
    if (!is_of(old_line, old_number)) continue;
    for (const SourceLine& new_line : new_lines) {
      if (!is_of(new_line, new_number) ||
          base(old_line.file) != base(new_line.file)) {
        continue;
      }
      const File* const old_text = ReadOld(old_line, new_line);
      const File& new_text = ReadNew(new_line);
      if (old_text == nullptr || !old_text->is_there || !new_text.is_there ||
          old_number > old_text->lines.size() ||
          new_number > new_text.lines.size()) {
        continue;
      }
      if (old_text->lines[old_number - 1] == new_text.lines[new_number - 1] &&
          !Spells(AddedIn(old_line, new_line, of_new), new_number)) {
        return true;
      }
    }
  }
  return false;
}

bool MovedLines::AddNone(const std::vector<SourceLine>& lines,
                         std::uint32_t number, const ObjectLines& of) {
  return std::all_of(lines.begin(), lines.end(), [&](const SourceLine& line) {
    return IsOfSystem(line.file) || !Spells(AddedIn(line, line, of), number);
  });
}

const MovedLines::Added& MovedLines::AddedIn(const SourceLine& old_line,
                                             const SourceLine& new_line,
                                             const ObjectLines& of) {
  const auto path_of = [](const SourceLine& line, bool is_there) {
    return is_there ? std::string(line.file) : InFolder(line);
  };
  const bool is_there = Read(std::string(new_line.file)).is_there;
  const std::string old_path = path_of(old_line, is_there);
  const std::string new_path = path_of(new_line, is_there);
  const auto known = added_.emplace(std::make_pair(old_path, new_path),
                                    std::optional<std::vector<std::string>>());
  if (known.second) {
    std::set<std::string> folders = of.numbers->folders();
    folders.insert(std::string(new_line.folder));
    known.first->second = AddedNow(old_path, new_path, folders);
  }
  return known.first->second;
}

MovedLines::Added MovedLines::AddedNow(const std::string& old_path,
                                       const std::string& new_path,
                                       const std::set<std::string>& folders) {
  // What the two have in common at their ends is where a source is in its tree.
  std::size_t common = 0;
  while (common < std::min(old_path.size(), new_path.size()) &&
         old_path[old_path.size() - 1 - common] ==
             new_path[new_path.size() - 1 - common]) {
    ++common;
  }
  const std::string old_root = old_path.substr(0, old_path.size() - common);
  const std::string new_root = new_path.substr(0, new_path.size() - common);
  std::vector<std::string> added;
  std::set<std::string> seen = {new_path};
  std::vector<std::string> pending = {new_path};
  while (!pending.empty()) {
    const std::string path = std::move(pending.back());
    pending.pop_back();
    const File& now = Read(path);
    const File* const before =
        absl::StartsWith(path, new_root)
            ? ReadOld(absl::StrCat(old_root, path.substr(new_root.size())),
                      path)
            : nullptr;
    if (before == nullptr || !before->is_there || !now.is_there) {
      return std::nullopt;
    }
    const std::vector<std::string> got = LinesAdded(before->lines, now.lines);
    added.insert(added.end(), got.begin(), got.end());
    for (const std::string& line : now.lines) {
      const std::optional<Include> include = IncludeOf(line);
      if (!include) continue;
      const std::optional<std::string> found = FindInclude(
          *include, path, folders,
          [this](const std::string& at) { return Read(at).is_there; });
      if (!found) {
        if (!include->is_in_brackets) return std::nullopt;
      } else if (!IsOfSystem(*found) && seen.insert(*found).second) {
        pending.push_back(*found);
      }
    }
  }
  return added;
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/inlined_copy_list.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/inlining/inlined_copies.h"

namespace instar {
namespace {

using code_internal::InlinedCopyTable;
using code_internal::ListedCopy;
using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::SymbolTable;

constexpr absl::string_view kFormat = "instar inlined copies 1";

struct ParsedList {
  std::string build_id;  // in hexadecimal digits
  std::vector<ListedCopy> copies;
};

bool ParseHexadecimal(absl::string_view text, std::uint64_t* value) {
  constexpr std::size_t kMostDigits = 16;
  return !text.empty() && text.size() <= kMostDigits &&
         text.find_first_not_of("0123456789abcdef") ==
             absl::string_view::npos &&
         absl::SimpleHexAtoi(text, value);
}

bool ParseCopy(absl::string_view line, ListedCopy* copy) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  if (fields.size() != 5 || fields[1].empty()) return false;
  absl::string_view of = fields[1];
  if (absl::ConsumePrefix(&of, "@")) {
    if (!ParseHexadecimal(of, &copy->of_entry)) return false;
  } else {
    copy->of_name = std::string(of);
  }
  return ParseHexadecimal(fields[2], &copy->into) &&
         ParseHexadecimal(fields[3], &copy->begin) &&
         ParseHexadecimal(fields[4], &copy->end) && copy->begin <= copy->end;
}

absl::StatusOr<ParsedList> Parse(absl::string_view list) {
  ParsedList parsed;
  const auto refuse = [](std::size_t line, absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("line ", line, " of a list of inlined copies ", why,
                     "; make it with list_inlined_copies"));
  };
  std::size_t number = 0;
  bool has_ended = false;
  for (absl::string_view line : absl::StrSplit(list, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (number == 1) {
      if (line != kFormat) {
        return refuse(number, absl::StrCat("is not \"", kFormat,
                                           "\", the format that is read"));
      }
    } else if (number == 2) {
      if (!absl::ConsumePrefix(&line, "build-id ") || line.empty()) {
        return refuse(number, "has no build id");
      }
      parsed.build_id = std::string(line);
    } else if (line.empty()) {
      continue;
    } else if (has_ended) {
      return refuse(number, "comes after its end");
    } else if (absl::ConsumePrefix(&line, "end ")) {
      std::uint64_t count = 0;
      if (!ParseHexadecimal(line, &count) || count != parsed.copies.size()) {
        return refuse(number,
                      absl::StrCat("counts other copies than the ",
                                   parsed.copies.size(), " that it has"));
      }
      has_ended = true;
    } else {
      ListedCopy copy;
      if (line.substr(0, 5) != "copy " || !ParseCopy(line, &copy)) {
        return refuse(number, "cannot be read");
      }
      parsed.copies.push_back(std::move(copy));
    }
  }
  if (!has_ended) return refuse(number, "is not its end: it was cut off");
  return parsed;
}

std::string BuildIdOf(const SymbolTable& symbols) {
  return absl::BytesToHexString(symbols.build_id());
}

}  // namespace

absl::Status DeclareInlinedCopies(absl::string_view list) try {
  INSTAR_ASSIGN_OR_RETURN(const ParsedList parsed, Parse(list));
  const auto images = LoadedImages::Current();
  bool is_loaded = false;
  for (const LoadedImage& image : images->images()) {
    if (BuildIdOf(*image.symbols) != parsed.build_id) continue;
    is_loaded = true;
    INSTAR_RETURN_IF_ERROR(
        InlinedCopyTable::Declare(*image.symbols, parsed.copies));
  }
  if (is_loaded) return absl::OkStatus();
  const SymbolTable& program = *images->images().front().symbols;
  return absl::FailedPreconditionError(absl::StrCat(
      "a list of inlined copies is for the build ", parsed.build_id,
      ", which is not loaded (", program.name(), " is ",
      program.build_id().empty() ? "without a build id"
                                 : absl::StrCat("build ", BuildIdOf(program)),
      "); make the list of the program that runs"));
} catch (const std::bad_alloc&) {
  return absl::ResourceExhaustedError(
      "there is no memory for a list of inlined copies");
}

absl::StatusOr<std::string> ListInlinedCopies(const std::string& path) try {
  INSTAR_ASSIGN_OR_RETURN(std::unique_ptr<SymbolTable> read,
                          SymbolTable::OfFile(path, path));
  if (read->build_id().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " has no build id; link it with -Wl,--build-id"));
  }
  // What was read of a file is kept for as long as the process lives.
  const SymbolTable& symbols = *read.release();
  const InlinedCopyTable& table = InlinedCopyTable::Of(symbols);
  if (!table.missing_because().empty()) {
    return absl::FailedPreconditionError(table.missing_because());
  }
  if (!table.undescribed().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        UndescribedCode(symbols, table), "; compile them with -g"));
  }
  const std::vector<ListedCopy> copies = table.All();
  std::string list =
      absl::StrCat(kFormat, "\nbuild-id ", BuildIdOf(symbols), "\n");
  for (const ListedCopy& copy : copies) {
    absl::StrAppend(&list, "copy ");
    if (copy.of_name.empty()) {
      absl::StrAppend(&list, "@", absl::Hex(copy.of_entry));
    } else {
      absl::StrAppend(&list, copy.of_name);
    }
    absl::StrAppend(&list, " ", absl::Hex(copy.into), " ",
                    absl::Hex(copy.begin), " ", absl::Hex(copy.end), "\n");
  }
  absl::StrAppend(&list, "end ", absl::Hex(copies.size()), "\n");
  return list;
} catch (const std::bad_alloc&) {
  return absl::ResourceExhaustedError(
      absl::StrCat("there is no memory for the inlined copies of ", path));
}

}  // namespace instar

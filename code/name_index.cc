// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/name_index.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "code/symbol_name.h"

namespace instar {
namespace code_internal {
namespace {

constexpr size_t kMaxListed = 8;
constexpr size_t kMaxSimilar = 5;

bool IsSearched(const LoadedImage& image, absl::string_view wanted) {
  return absl::EndsWith(image.symbols->name(), wanted);
}

absl::string_view BaseName(absl::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

absl::string_view LastComponent(absl::string_view key) {
  const size_t colons = key.rfind("::");
  return colons == absl::string_view::npos ? key : key.substr(colons + 2);
}

// How many letters must be changed to get from one to the other, up to `limit`.
size_t EditDistance(absl::string_view a, absl::string_view b, size_t limit) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) >= limit) {
    return limit;
  }
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return std::min(row[b.size()], limit);
}

// A file-local variable of a C function is called `counter.1`.
std::string VariableKey(absl::string_view symbol) {
  if (!absl::StartsWith(symbol, "_Z")) {
    const size_t dot = symbol.rfind('.');
    if (dot != absl::string_view::npos && dot > 0 && dot + 1 < symbol.size() &&
        std::all_of(symbol.begin() + dot + 1, symbol.end(),
                    absl::ascii_isdigit)) {
      symbol = symbol.substr(0, dot);
    }
  }
  return NameKey(Demangle(symbol));
}

std::string KeyOf(SymbolKind kind, absl::string_view symbol) {
  return kind == SymbolKind::kVariable ? VariableKey(symbol)
                                       : NameKey(Demangle(symbol));
}

// MatchName(), and `counter` for `counter.1` as the last resort.
int MatchSymbol(SymbolKind kind, absl::string_view wanted,
                absl::string_view symbol) {
  const int match = MatchName(wanted, symbol, Demangle(symbol));
  if (match >= 0 || kind != SymbolKind::kVariable) return match;
  return wanted == VariableKey(symbol) ? 100 : -1;
}

}  // namespace

NameIndex::NameIndex(const SymbolTable& table) {
  const auto functions = table.functions();
  for (uint32_t i = 0; i < functions.size(); ++i) {
    for (const char* symbol : table.names(functions[i])) {
      functions_[KeyOf(SymbolKind::kFunction, symbol)].push_back({i, symbol});
    }
  }
  const auto variables = table.variables();
  for (uint32_t i = 0; i < variables.size(); ++i) {
    const char* symbol = variables[i].name;
    variables_[KeyOf(SymbolKind::kVariable, symbol)].push_back({i, symbol});
  }
}

const NameIndex& NameIndex::Of(const SymbolTable& table) {
  static std::mutex& mutex = *new std::mutex;
  static auto& indexes =
      *new std::map<const SymbolTable*, std::unique_ptr<const NameIndex>>;
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<const NameIndex>& index = indexes[&table];
  if (index == nullptr) index.reset(new NameIndex(table));
  return *index;
}

absl::StatusOr<NameIndex::Match> NameIndex::Find(const LoadedImages& images,
                                                 SymbolKind kind,
                                                 absl::string_view name,
                                                 absl::string_view image) {
  std::vector<Match> matches;
  try {
    matches = FindAll(images, kind, name, image);
    if (matches.empty()) {
      return absl::NotFoundError(NotFoundMessage(images, kind, name, image));
    }
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "there is no memory for the names among which ", name, " is sought"));
  }
  if (matches.size() == 1) return matches[0];
  const Match* const bound = BoundByLinker(matches);
  if (bound != nullptr) return *bound;
  return absl::FailedPreconditionError(AmbiguousMessage(name, matches));
}

std::vector<NameIndex::Match> NameIndex::FindAll(const LoadedImages& images,
                                                 SymbolKind kind,
                                                 absl::string_view name,
                                                 absl::string_view image) {
  const std::string key = KeyOf(kind, name);
  std::vector<Match> best;
  int best_level = -1;
  std::set<uintptr_t> seen;
  for (const LoadedImage& candidate : images.images()) {
    if (!IsSearched(candidate, image)) continue;
    const SymbolTable& table = *candidate.symbols;
    const ByKey& by_key = Of(table).by_key(kind);
    const auto entries = by_key.find(key);
    if (entries == by_key.end()) continue;
    for (const Entry& entry : entries->second) {
      const int level = MatchSymbol(kind, name, entry.symbol);
      if (level < 0 || (best_level >= 0 && level > best_level)) continue;
      if (level != best_level) {
        best.clear();
        seen.clear();
        best_level = level;
      }
      Match match{&candidate, entry.index, entry.symbol, 0, false};
      if (kind == SymbolKind::kFunction) {
        const FunctionRecord& function = table.functions()[entry.index];
        match.address = candidate.load_base + function.entry;
        match.is_exported = function.is_exported;
      } else {
        const VariableRecord& variable = table.variables()[entry.index];
        match.address = candidate.load_base + variable.address;
        match.is_exported = variable.is_exported;
      }
      if (seen.insert(match.address).second) best.push_back(match);
    }
  }
  return best;
}

std::vector<std::string> NameIndex::Similar(const LoadedImages& images,
                                            SymbolKind kind,
                                            absl::string_view name,
                                            absl::string_view image) {
  const std::string key = KeyOf(kind, name);
  const absl::string_view last = LastComponent(key);
  const size_t limit = 1 + std::min<size_t>(3, key.size() / 3);
  std::set<std::pair<size_t, std::string>> nearest;
  for (const LoadedImage& candidate : images.images()) {
    if (!IsSearched(candidate, image)) continue;
    for (const auto& [other, entries] : Of(*candidate.symbols).by_key(kind)) {
      // The same name, other parameters; the same name elsewhere; a slip.
      const bool elsewhere = LastComponent(other) == last;
      const size_t distance = EditDistance(key, other, elsewhere ? 100 : limit);
      if (!elsewhere && distance >= limit) continue;
      for (const Entry& entry : entries) {
        nearest.emplace(distance, Demangle(entry.symbol));
        if (nearest.size() > kMaxSimilar) nearest.erase(--nearest.end());
      }
    }
  }
  std::vector<std::string> names;
  for (const auto& [distance, similar] : nearest) names.push_back(similar);
  return names;
}

std::string NameIndex::NotFoundMessage(const LoadedImages& images,
                                       SymbolKind kind, absl::string_view name,
                                       absl::string_view image) {
  const char* what = kind == SymbolKind::kFunction ? "function" : "variable";
  bool image_found = false;
  std::vector<absl::string_view> stripped;
  std::string unreadable;
  for (const LoadedImage& candidate : images.images()) {
    if (!IsSearched(candidate, image)) continue;
    image_found = true;
    const SymbolTable& table = *candidate.symbols;
    if (!table.unreadable_because().empty()) {
      absl::StrAppend(&unreadable, "; the symbols of ", table.name(),
                      " are not known: ", table.unreadable_because());
    } else if (!table.has_local_symbols()) {
      stripped.push_back(BaseName(table.name()));
    }
  }
  if (!image_found) {
    return absl::StrCat("no object whose path ends in \"", image,
                        "\" is loaded");
  }
  std::string message = absl::StrCat("no ", what, " \"", name, "\" was found");
  if (!image.empty()) absl::StrAppend(&message, " in ", image);
  const std::vector<std::string> similar = Similar(images, kind, name, image);
  if (!similar.empty()) {
    absl::StrAppend(&message,
                    "; similar names are: ", absl::StrJoin(similar, ", "));
  }
  absl::StrAppend(&message, unreadable);
  if (!stripped.empty()) {
    const size_t listed = std::min(stripped.size(), kMaxListed);
    absl::StrAppend(
        &message, "; of what was stripped, only exported names are known: ",
        absl::StrJoin(stripped.begin(), stripped.begin() + listed, ", "));
    if (listed < stripped.size()) {
      absl::StrAppend(&message, " and ", stripped.size() - listed, " more");
    }
  }
  return message;
}

const NameIndex::Match* NameIndex::BoundByLinker(
    absl::Span<const Match> matches) {
  for (const Match& match : matches) {
    if (!match.is_exported ||
        std::strcmp(match.symbol, matches[0].symbol) != 0) {
      return nullptr;
    }
  }
  const auto bound =
      reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, matches[0].symbol));
  for (const Match& match : matches) {
    if (match.address == bound) return &match;
  }
  return nullptr;
}

std::string NameIndex::AmbiguousMessage(absl::string_view name,
                                        absl::Span<const Match> matches) {
  std::string message = absl::StrCat(
      "\"", name,
      "\" is ambiguous; say which by parameter types, linkage name "
      "or image:");
  const size_t listed = std::min(matches.size(), kMaxListed);
  for (const Match& match : matches.first(listed)) {
    absl::StrAppend(&message, "\n  ", Demangle(match.symbol), " [",
                    match.symbol, "] at ",
                    absl::StrCat(absl::Hex(match.address)), " in ",
                    match.image->symbols->name());
  }
  if (listed < matches.size()) {
    absl::StrAppend(&message, "\n  and ", matches.size() - listed, " more");
  }
  return message;
}

}  // namespace code_internal
}  // namespace instar

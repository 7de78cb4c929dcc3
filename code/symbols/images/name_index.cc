// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/name_index.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fork_mutex.h"
#include "base/linker_gate.h"
#include "base/similar_names.h"
#include "code/symbols/images/symbol_name.h"

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

// Whether the last part of a name can be this one, or one from which it differs
// by less than `limit` letters: a linkage name spells its identifiers out.
// Demangling it would take ten times as long.
class LetterCheck {
 public:
  LetterCheck(absl::string_view last, size_t limit)
      : is_identifier_(!absl::StartsWith(last, "operator") &&
                       std::all_of(last.begin(), last.end(),
                                   [](char c) {
                                     return absl::ascii_isalnum(c) ||
                                            c == '_' || c == '~';
                                   })),
        limit_(limit) {
    for (const char c : last) {
      if (absl::ascii_isalnum(c)) ++wanted_[static_cast<unsigned char>(c)];
    }
  }

  bool MayResemble(const char* symbol) const {
    if (!is_identifier_) return true;
    std::array<uint16_t, 256> found{};
    for (; *symbol != '\0'; ++symbol) {
      // Some names of the standard library are abbreviated (Itanium C++ ABI,
      // 5.1.8).
      if (symbol[0] == 'S' && std::strchr("absiod", symbol[1]) != nullptr) {
        return true;
      }
      ++found[static_cast<unsigned char>(*symbol)];
    }
    size_t missing = 0;
    for (unsigned char c = '0'; c <= 'z'; ++c) {
      if (wanted_[c] > found[c]) missing += wanted_[c] - found[c];
    }
    return missing < limit_;
  }

 private:
  const bool is_identifier_;
  const size_t limit_;
  std::array<uint16_t, 256> wanted_{};
};

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

// FNV-1a.
uint32_t HashOf(absl::string_view key) {
  uint32_t hash = 2166136261u;
  for (const char c : key) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  return hash;
}

// MatchName(), and `counter` for `counter.1` as the last resort.
int MatchSymbol(SymbolKind kind, absl::string_view wanted,
                absl::string_view symbol) {
  const int match = MatchName(wanted, symbol, Demangle(symbol));
  if (match >= 0 || kind != SymbolKind::kVariable) return match;
  return wanted == VariableKey(symbol) ? 100 : -1;
}

}  // namespace

void NameIndex::ForEachName(
    const SymbolTable& table, SymbolKind kind,
    absl::FunctionRef<bool(uint32_t index, const char* symbol)> visit) {
  if (kind == SymbolKind::kVariable) {
    const auto variables = table.variables();
    for (uint32_t i = 0; i < variables.size(); ++i) {
      if (!visit(i, variables[i].name)) return;
    }
    return;
  }
  const auto functions = table.functions();
  for (uint32_t i = 0; i < functions.size(); ++i) {
    for (const char* const symbol : table.names(functions[i])) {
      if (!visit(i, symbol)) return;
    }
  }
}

std::vector<NameIndex::Entry> NameIndex::Make(const SymbolTable& table,
                                              SymbolKind kind) {
  size_t count = 0;
  ForEachName(table, kind,
              [&](uint32_t, const char*) { return ++count <= kMostNames; });
  std::vector<Entry> entries;
  if (count > kMostNames) return entries;
  entries.reserve(count);
  ForEachName(table, kind, [&](uint32_t index, const char* symbol) {
    entries.push_back({HashOf(KeyOf(kind, symbol)), index, symbol});
    return true;
  });
  // Those with one key stay in the order of the file.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.hash, a.index, a.symbol) <
           std::tie(b.hash, b.index, b.symbol);
  });
  return entries;
}

NameIndex::NameIndex(const SymbolTable& table)
    : table_(table),
      functions_(Make(table, SymbolKind::kFunction)),
      variables_(Make(table, SymbolKind::kVariable)) {}

std::vector<NameIndex::Entry> NameIndex::Candidates(
    SymbolKind kind, absl::string_view key) const {
  const uint32_t hash = HashOf(key);
  const std::vector<Entry>& indexed = entries(kind);
  std::vector<Entry> found;
  if (indexed.empty()) {
    // What has more than kMostNames.
    const LetterCheck letters(LastComponent(key), /*limit=*/1);
    ForEachName(table_, kind, [&](uint32_t index, const char* symbol) {
      if (!letters.MayResemble(symbol)) return true;
      if (KeyOf(kind, symbol) == key) found.push_back({hash, index, symbol});
      return true;
    });
    return found;
  }
  auto entry = std::lower_bound(
      indexed.begin(), indexed.end(), hash,
      [](const Entry& e, uint32_t wanted) { return e.hash < wanted; });
  for (; entry != indexed.end() && entry->hash == hash; ++entry) {
    found.push_back(*entry);
  }
  return found;
}

const NameIndex& NameIndex::Of(const SymbolTable& table) {
  static ForkGuarded<
      std::map<const SymbolTable*, std::unique_ptr<const NameIndex>>>
      indexes;
  const auto locked = indexes.Lock();
  std::unique_ptr<const NameIndex>& index = (*locked)[&table];
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
    for (const Entry& entry : Of(table).Candidates(kind, key)) {
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
  const size_t limit = SimilarityLimit(key);
  const LetterCheck letters(last, limit);
  std::set<std::pair<size_t, std::string>> nearest;
  for (const LoadedImage& candidate : images.images()) {
    if (!IsSearched(candidate, image)) continue;
    // Of very many, too many resemble any.
    if (Of(*candidate.symbols).entries(kind).empty()) continue;
    ForEachName(*candidate.symbols, kind, [&](uint32_t, const char* symbol) {
      if (!letters.MayResemble(symbol)) return true;
      const std::string other = KeyOf(kind, symbol);
      // The same name, other parameters; the same name elsewhere; a slip.
      const bool elsewhere = LastComponent(other) == last;
      const size_t distance = EditDistance(key, other, elsewhere ? 100 : limit);
      if (!elsewhere && distance >= limit) return true;
      nearest.emplace(distance, Demangle(symbol));
      if (nearest.size() > kMaxSimilar) nearest.erase(--nearest.end());
      return true;
    });
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
  const LinkerGate gate;
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

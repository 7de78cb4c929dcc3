// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How a SymbolTable is made: symbols are sorted into functions, what was split
// off is joined to its function, and what unwind information alone knows is
// added.

#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/images/symbol_table_reader.h"

namespace instar {
namespace code_internal {
namespace {

// The start of what the compiler appended to the name of a function that it
// split, or npos: `f.part.0.cold` gives 1. `.lto_priv` only renames.
size_t FindPartSuffix(absl::string_view name) {
  static constexpr absl::string_view kSuffixes[] = {".cold", ".part.",
                                                    ".constprop.", ".isra."};
  for (size_t dot = name.find('.'); dot != absl::string_view::npos;
       dot = name.find('.', dot + 1)) {
    for (absl::string_view suffix : kSuffixes) {
      if (dot > 0 && absl::StartsWith(name.substr(dot), suffix)) return dot;
    }
  }
  return absl::string_view::npos;
}

bool IsPatchable(absl::string_view code) {
  return absl::StartsWith(code, "\x90\x90\x90\x90\x90") ||
         absl::StartsWith(code, absl::string_view("\x0f\x1f\x44\0\0", 5));
}

}  // namespace

class SymbolTable::Builder {
 public:
  // Of a file, or of what lies in memory.
  Builder(SymbolTable* table, Elf* elf, const ImageInMemory* memory,
          Elf* debug_elf)
      : table_(*table), reader_(table, elf, memory, debug_elf) {}

  absl::Status Build() {
    INSTAR_RETURN_IF_ERROR(reader_.Read());
    symbols_ = reader_.TakeSymbols();
    AddFunctions();
    AddUnwindEntries();
    Finish();
    return absl::OkStatus();
  }

 private:
  using Symbol = Reader::Symbol;

  // A function while it is being collected. Its names are in the table already;
  // there may be very many, so that nothing is allocated for each.
  struct Draft {
    FunctionRecord record;
    uint32_t source = 0;
    uint32_t first_piece = kNone;  // of pieces_
  };
  // What was split off a function, besides the stretch from its entry on.
  struct Piece {
    CodeRange range;
    const char* clone;  // its name if callers reach it; null otherwise
    uint32_t next;
  };

  // The main name of a function is the one that most people can see.
  static int Rank(const Symbol& symbol) {
    const int rank = symbol.binding == SymbolBinding::kGlobal ? 0
                     : symbol.binding == SymbolBinding::kWeak ? 1
                                                              : 2;
    return symbol.is_indirect ? rank + 3 : rank;
  }

  static constexpr uint32_t kNone = ~0u;

  static constexpr uint32_t kAnySource = ~0u;
  static constexpr size_t kSeveral = ~size_t{0};

  void AddFunctions() {
    std::stable_sort(symbols_.begin(), symbols_.end(),
                     [](const Symbol& a, const Symbol& b) {
                       if (a.value != b.value) return a.value < b.value;
                       return Rank(a) < Rank(b);
                     });
    std::vector<const Symbol*> parts;
    drafts_.reserve(symbols_.size());
    table_.names_.reserve(symbols_.size());
    for (size_t i = 0; i < symbols_.size();) {
      const Symbol& first = symbols_[i];
      if (FindPartSuffix(first.name) != absl::string_view::npos) {
        parts.push_back(&first);
        while (i < symbols_.size() && symbols_[i].value == first.value) ++i;
        continue;
      }
      i = AddFunction(i);
    }
    if (parts.empty()) return;
    for (size_t i = 0; i < drafts_.size(); ++i) {
      for (const char* name : table_.names(drafts_[i].record)) {
        by_name_.emplace(std::make_pair(drafts_[i].source, name), i);
        const auto only = by_name_.emplace(std::make_pair(kAnySource, name), i);
        if (!only.second && only.first->second != i) {
          only.first->second = kSeveral;
        }
      }
    }
    for (const Symbol* part : parts) AddPart(*part);
  }

  // Makes one function of the symbols at the address of symbols_[i]; returns
  // the index of the first one that is not part of it.
  size_t AddFunction(size_t i) {
    const Symbol& first = symbols_[i];
    Draft draft;
    draft.record.first_name = static_cast<uint32_t>(table_.names_.size());
    draft.record.entry = first.value;
    draft.record.binding = first.binding;
    draft.record.is_indirect = first.is_indirect;
    draft.source = first.source;
    // The resolver of an indirect function stands at the same address, and is
    // another function.
    for (; i < symbols_.size() && symbols_[i].value == first.value &&
           symbols_[i].is_indirect == first.is_indirect;
         ++i) {
      draft.record.size = std::max(draft.record.size, symbols_[i].size);
      if (reader_.IsExported(symbols_[i].name, first.value)) {
        draft.record.is_exported = true;
      }
      const auto names = table_.names(draft.record);
      if (std::none_of(names.begin(), names.end(), [&](const char* name) {
            return std::strcmp(name, symbols_[i].name) == 0;
          })) {
        table_.names_.push_back(symbols_[i].name);
        ++draft.record.name_count;
      }
    }
    drafts_.push_back(draft);
    return i;
  }

  // Code split off a function belongs to the function of that name in the same
  // source file, or to the one that all source files see, or to the only one.
  void AddPart(const Symbol& part) {
    const size_t suffix = FindPartSuffix(part.name);
    const absl::string_view base(part.name, suffix);
    auto parent = by_name_.find({part.source, base});
    if (parent == by_name_.end()) parent = by_name_.find({0, base});
    // The linker makes hidden functions local, and loses their source file.
    if (parent == by_name_.end()) parent = by_name_.find({kAnySource, base});
    if (parent == by_name_.end() || parent->second == kSeveral) {
      Draft draft;
      draft.record.entry = part.value;
      draft.record.size = part.size;
      draft.record.binding = part.binding;
      draft.source = part.source;
      draft.record.first_name = static_cast<uint32_t>(table_.names_.size());
      draft.record.name_count = 1;
      table_.names_.push_back(part.name);
      drafts_.push_back(draft);
      return;
    }
    uint32_t* last = &drafts_[parent->second].first_piece;
    while (*last != kNone) last = &pieces_[*last].next;
    *last = static_cast<uint32_t>(pieces_.size());
    pieces_.push_back({{part.value, part.value + part.size},
                       absl::EndsWith(part.name, ".cold") ? nullptr : part.name,
                       kNone});
  }

  // Gives sizes to functions that have none, and a function to unwind entries
  // that no symbol covers; marks the patchable entries.
  void AddUnwindEntries() {
    absl::flat_hash_map<uintptr_t, size_t> size_at;
    for (const CodeRange& range : reader_.unwind_entries()) {
      size_at.emplace(range.begin, range.end - range.begin);
    }
    std::vector<CodeRange> covered = reader_.linkage_stubs();
    covered.reserve(covered.size() + drafts_.size() + pieces_.size());
    for (Draft& draft : drafts_) {
      const auto unwind = size_at.find(draft.record.entry);
      if (unwind != size_at.end()) {
        if (draft.record.size == 0) draft.record.size = unwind->second;
        draft.record.has_patchable_entry =
            IsPatchable(reader_.Loaded(draft.record.entry));
      }
      covered.push_back(OwnRange(draft));
    }
    for (const Piece& piece : pieces_) covered.push_back(piece.range);
    std::sort(covered.begin(), covered.end(),
              [](const CodeRange& a, const CodeRange& b) {
                return a.begin < b.begin;
              });
    size_t next = 0;
    uintptr_t covered_to = 0;
    for (const CodeRange& range : reader_.unwind_entries()) {
      while (next < covered.size() && covered[next].begin <= range.begin) {
        covered_to = std::max(covered_to, covered[next++].end);
      }
      if (range.begin < covered_to || range.begin == range.end) continue;
      Draft draft;
      draft.record.entry = range.begin;
      draft.record.size = range.end - range.begin;
      draft.record.has_patchable_entry =
          IsPatchable(reader_.Loaded(range.begin));
      drafts_.push_back(draft);
    }
  }

  static CodeRange OwnRange(const Draft& draft) {
    return {draft.record.entry, draft.record.entry + draft.record.size};
  }

  void AddRange(const CodeRange& range) {
    table_.ranges_.push_back(range);
    if (range.begin == range.end) return;
    table_.stretches_.push_back(
        {range.begin, range.end, 0,
         static_cast<uint32_t>(table_.functions_.size())});
  }

  void Finish() {
    symbols_ = {};
    by_name_ = {};
    const auto is_before = [](const Draft& a, const Draft& b) {
      return a.record.entry < b.record.entry;
    };
    if (!std::is_sorted(drafts_.begin(), drafts_.end(), is_before)) {
      std::stable_sort(drafts_.begin(), drafts_.end(), is_before);
    }
    table_.names_.shrink_to_fit();
    table_.functions_.reserve(drafts_.size());
    table_.ranges_.reserve(drafts_.size() + pieces_.size());
    table_.stretches_.reserve(drafts_.size() + pieces_.size());
    for (const Draft& draft : drafts_) {
      FunctionRecord record = draft.record;
      record.first_range = static_cast<uint32_t>(table_.ranges_.size());
      record.first_clone = static_cast<uint32_t>(table_.clones_.size());
      AddRange(OwnRange(draft));
      for (uint32_t i = draft.first_piece; i != kNone; i = pieces_[i].next) {
        AddRange(pieces_[i].range);
        if (pieces_[i].clone != nullptr) {
          table_.clones_.push_back(pieces_[i].clone);
        }
      }
      record.range_count =
          static_cast<uint32_t>(table_.ranges_.size()) - record.first_range;
      record.clone_count =
          static_cast<uint32_t>(table_.clones_.size()) - record.first_clone;
      table_.has_patchable_entries_ |= record.has_patchable_entry;
      table_.functions_.push_back(record);
    }
    drafts_ = {};
    const auto begins_before = [](const Stretch& a, const Stretch& b) {
      return a.begin < b.begin;
    };
    if (!std::is_sorted(table_.stretches_.begin(), table_.stretches_.end(),
                        begins_before)) {
      std::stable_sort(table_.stretches_.begin(), table_.stretches_.end(),
                       begins_before);
    }
    table_.stretch_begins_.reserve(table_.stretches_.size());
    uintptr_t max_end = 0;
    for (Stretch& stretch : table_.stretches_) {
      max_end = std::max(max_end, stretch.end);
      stretch.max_end = max_end;
      table_.stretch_begins_.push_back(stretch.begin);
    }
  }

  SymbolTable& table_;
  Reader reader_;
  std::vector<Symbol> symbols_;
  std::vector<Draft> drafts_;
  std::vector<Piece> pieces_;
  // (source file, name) -> index into drafts_.
  absl::flat_hash_map<std::pair<uint32_t, absl::string_view>, size_t> by_name_;
};

absl::StatusOr<std::unique_ptr<SymbolTable>> SymbolTable::Of(
    const std::string& name, Elf* elf, const ImageInMemory* memory,
    Elf* debug_elf) {
  if (elf == nullptr && memory == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " cannot be read: ", elf_errmsg(-1)));
  }
  // The vector of string tables must not move: names point into its strings,
  // some of which are short enough to lie in the vector itself.
  std::unique_ptr<SymbolTable> table(new SymbolTable);
  table->name_ = name;
  table->string_tables_.reserve(2);
  const absl::Status status =
      Builder(table.get(), elf, memory, debug_elf).Build();
  if (!status.ok()) return status;
  return table;
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads an InlinedCopyTable from debug information: the walk over its units.

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/inlining/dwarf_file.h"
#include "code/symbols/inlining/inlined_copies.h"

namespace instar {
namespace code_internal {
namespace {

// Follows a chain of references to its end: a copy or an out-of-line instance
// leads to the abstract instance that they share.
Dwarf_Die AbstractOrigin(Dwarf_Die die) {
  Dwarf_Attribute attribute;
  Dwarf_Die origin;
  while (dwarf_attr(&die, DW_AT_abstract_origin, &attribute) != nullptr &&
         dwarf_formref_die(&attribute, &origin) != nullptr) {
    die = origin;
  }
  return die;
}

// The linkage name, also from the declaration that a definition refers to; a
// C function has only its plain name. Null for what no other file can see.
const char* LinkageName(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (unsigned int kind : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(die, kind, &attribute) != nullptr) {
      return dwarf_formstring(&attribute);
    }
  }
  bool external = false;
  if (dwarf_attr_integrate(die, DW_AT_external, &attribute) == nullptr ||
      dwarf_formflag(&attribute, &external) != 0 || !external) {
    return nullptr;
  }
  return dwarf_diename(die);
}

std::vector<CodeRange> RangesOf(Dwarf_Die* die) {
  std::vector<CodeRange> ranges;
  Dwarf_Addr base = 0;
  Dwarf_Addr begin = 0;
  Dwarf_Addr end = 0;
  for (ptrdiff_t offset = 0;
       (offset = dwarf_ranges(die, offset, &base, &begin, &end)) > 0;) {
    ranges.push_back({begin, end});
  }
  return ranges;
}

// How much is read before libdw, which keeps what it has parsed, is made to
// begin anew.
constexpr Dwarf_Off kReadAtOnce = Dwarf_Off{16} << 20;
// How many different copies of named functions are kept, at 16 bytes each (as
// many again by the function's entry), and how much their names may take.
constexpr std::size_t kMostCopies = 500'000;
constexpr std::size_t kMostNameBytes = std::size_t{12} << 20;
// How many ranges of code are collected before they are merged.
constexpr std::size_t kMostRanges = std::size_t{1} << 16;

void Merge(std::vector<CodeRange>& ranges) {
  std::sort(
      ranges.begin(), ranges.end(),
      [](const CodeRange& a, const CodeRange& b) { return a.begin < b.begin; });
  std::size_t merged = 0;
  for (const CodeRange& range : ranges) {
    if (merged > 0 && range.begin <= ranges[merged - 1].end) {
      ranges[merged - 1].end = std::max(ranges[merged - 1].end, range.end);
    } else {
      ranges[merged++] = range;
    }
  }
  ranges.resize(merged);
}

}  // namespace

// Walks the debug information of a file.
class InlinedCopyTable::Reader {
 public:
  Reader(InlinedCopyTable* result, const SymbolTable& symbols,
         bool with_library)
      : result_(*result), symbols_(symbols), with_library_(with_library) {}

  // False if there are too many copies.
  bool Read(DwarfFile& file) {
    Dwarf_Off read_from = 0;
    Dwarf_Off next = 0;
    size_t header_size = 0;
    for (Dwarf_Off unit = 0;
         dwarf_next_unit(file.dwarf(), unit, &next, &header_size, nullptr,
                         nullptr, nullptr, nullptr, nullptr, nullptr) == 0;
         unit = next) {
      if (next - read_from > kReadAtOnce && unit > read_from) {
        if (!file.Reopen()) return false;
        read_from = unit;
      }
      main_ = file.dwarf();
      Dwarf_Die die;
      if (dwarf_offdie(main_, unit + header_size, &die) == nullptr) continue;
      ReadUnit(&die, {unit, next});
      if (HasTooMany()) return false;
    }
    Resolve([](const Place&) { return true; }, /*with_traceless=*/true);
    AddTracelessByName();
    Merge(result_.covered_);
    result_.by_entry_.Finish();
    result_.by_name_.Finish();
    result_.names_.Finish();
    return !HasTooMany() && result_.by_entry_.is_complete() &&
           result_.by_name_.is_complete();
  }

 private:
  // Whether in the file that is read, and where in it or another one.
  using Place = std::pair<bool, Dwarf_Off>;

  // A copy of a function, until it is known whether that has code of its own.
  struct Pending {
    Place origin;
    uint32_t into;
    CodeRange range;
  };

  // What is known of an abstract instance.
  struct Inlined {
    bool is_inlined = false;  // it says so
    bool has_copy = false;
    const char* name = nullptr;  // the linkage name, if it has one
  };

  bool HasTooMany() const {
    // Until they are merged, up to twice as many are collected.
    return result_.by_name_.size() > 2 * kMostCopies ||
           result_.by_entry_.size() > 2 * kMostCopies ||
           result_.names_.bytes() > kMostNameBytes ||
           pending_.size() > 2 * kMostCopies;
  }

  void ReadUnit(Dwarf_Die* die, const CodeRange& offsets) {
    std::uint8_t type = 0;
    Dwarf_Die split{};
    if (dwarf_cu_info(die->cu, nullptr, &type, nullptr, &split, nullptr,
                      nullptr, nullptr) != 0) {
      return;
    }
    is_partial_ = type == DW_UT_partial;
    const bool is_split = type == DW_UT_skeleton;
    if (is_split && split.addr == nullptr) {
      NoteUnreadable(die);
      return;
    }
    if (type == DW_UT_compile || is_split) {
      for (const CodeRange& range : RangesOf(die)) {
        // The linker leaves address 0, or 1, where it discarded a function.
        if (range.begin > 1 && range.begin < range.end) {
          result_.covered_.push_back(range);
        }
      }
      if (result_.covered_.size() > covered_at_most_) {
        Merge(result_.covered_);
        covered_at_most_ = std::max(kMostRanges, 2 * result_.covered_.size());
      }
    }
    Visit(is_split ? &split : die, nullptr);
    // What other units cannot refer to: what is in this one, or in another
    // file, whose places mean nothing in the next one.
    Resolve(
        [&offsets](const Place& place) {
          return !place.first || offsets.Contains(place.second);
        },
        /*with_traceless=*/!is_partial_);
  }

  void NoteUnreadable(Dwarf_Die* die) {
    if (!result_.unreadable_units_.empty()) return;
    Dwarf_Attribute attribute;
    const char* file = nullptr;
    for (unsigned int kind : {DW_AT_dwo_name, DW_AT_GNU_dwo_name}) {
      if (file == nullptr && dwarf_attr(die, kind, &attribute) != nullptr) {
        file = dwarf_formstring(&attribute);
      }
    }
    result_.unreadable_units_ = absl::StrCat(
        "debug information was split off into ",
        file == nullptr ? "another file" : file, ", which cannot be read");
  }

  // What is file-local has no linkage name in debug information; it is
  // recognised by the abstract instance that it shares with its copies. The
  // same goes for constructors, whose abstract instance is called C4.
  template <typename IsMeant>
  void Resolve(IsMeant is_meant, bool with_traceless) {
    if (with_traceless) ResolveTraceless(is_meant);
    const auto rest = std::remove_if(
        pending_.begin(), pending_.end(), [&](const Pending& copy) {
          if (!is_meant(copy.origin)) return false;
          const auto function = entry_of_origin_.find(copy.origin);
          if (function != entry_of_origin_.end()) {
            Add(result_.by_entry_, function->second, copy.into, copy.range);
          }
          return true;
        });
    pending_.erase(rest, pending_.end());
    for (auto at = entry_of_origin_.begin(); at != entry_of_origin_.end();) {
      const auto entry = at++;
      if (is_meant(entry->first)) entry_of_origin_.erase(entry);
    }
  }

  // Of a function whose body is a constant nothing may be left where it was
  // inlined, not even a range: its abstract instance says that it was.
  template <typename IsMeant>
  void ResolveTraceless(IsMeant is_meant) {
    for (auto at = inlined_.begin(); at != inlined_.end();) {
      const auto origin = at++;
      if (!is_meant(origin->first)) continue;
      if (origin->second.is_inlined && !origin->second.has_copy) {
        const auto function = entry_of_origin_.find(origin->first);
        if (function != entry_of_origin_.end()) AddTraceless(function->second);
        if (origin->second.name != nullptr) {
          traceless_names_.insert(origin->second.name);
        }
      }
      inlined_.erase(origin);
    }
  }

  // What is said of it as a copy in itself, without code.
  void AddTraceless(uint32_t function) {
    const uintptr_t entry = symbols_.functions()[function].entry;
    Add(result_.by_entry_, function, function, {entry, entry});
  }

  // Of functions that another unit has code of.
  void AddTracelessByName() {
    if (traceless_names_.empty()) return;
    for (const FunctionRecord& function : symbols_.functions()) {
      if (function.binding == SymbolBinding::kLocal) continue;
      for (const char* name : symbols_.names(function)) {
        if (traceless_names_.contains(name)) {
          AddTraceless(result_.NumberOf(function));
        }
      }
    }
  }

  void Add(CopyList& list, uint32_t of, uint32_t into, const CodeRange& range) {
    const uintptr_t entry = symbols_.functions()[into].entry;
    list.Add(of, into, static_cast<std::int64_t>(range.begin - entry),
             range.end - range.begin);
  }

  Place PlaceOf(Dwarf_Die* die) const {
    return {dwarf_cu_getdwarf(die->cu) == main_, dwarf_dieoffset(die)};
  }

  // Visits what is nested in `parent`, inside the function `into` if not null.
  void Visit(Dwarf_Die* parent, const FunctionRecord* into) {
    Dwarf_Die die;
    if (dwarf_child(parent, &die) != 0) return;
    do {
      switch (dwarf_tag(&die)) {
        case DW_TAG_subprogram:
          VisitFunction(&die);
          break;
        case DW_TAG_inlined_subroutine:
          if (into != nullptr) AddCopy(&die, into);
          Visit(&die, into);
          break;
        default:
          Visit(&die, into);
          break;
      }
    } while (dwarf_siblingof(&die, &die) == 0);
  }

  void VisitFunction(Dwarf_Die* die) {
    // Nothing is nested in it but its parameters.
    if (dwarf_hasattr(die, DW_AT_declaration) != 0) return;
    NoteInlined(die);
    const FunctionRecord* function = nullptr;
    for (Dwarf_Addr begin : BeginsOf(die)) {
      function = symbols_.FindFunction(begin);
      if (function != nullptr) break;
    }
    if (function != nullptr) {
      const uint32_t number = result_.NumberOf(*function);
      result_.described_[number] = true;
      Dwarf_Die origin = AbstractOrigin(*die);
      entry_of_origin_.emplace(PlaceOf(&origin), number);
    }
    Visit(die, function);
  }

  // If it is an abstract instance.
  void NoteInlined(Dwarf_Die* die) {
    Dwarf_Attribute attribute;
    Dwarf_Word how = DW_INL_not_inlined;
    if (dwarf_attr(die, DW_AT_inline, &attribute) == nullptr ||
        dwarf_formudata(&attribute, &how) != 0 ||
        (how != DW_INL_inlined && how != DW_INL_declared_inlined)) {
      return;
    }
    const char* const name = LinkageName(die);
    if (name != nullptr && IsOfStandardLibrary(name)) return;
    Inlined& inlined = inlined_[PlaceOf(die)];
    inlined.is_inlined = true;
    if (name == nullptr) return;
    inlined.name = is_partial_ ? kept_names_.insert(name).first->c_str() : name;
  }

  void AddCopy(Dwarf_Die* die, const FunctionRecord* into) {
    std::vector<CodeRange> ranges = RangesOf(die);
    // Empty ranges stand for statements that left no code. A copy that has no
    // other is still a copy.
    const CodeRange empty =
        ranges.empty() ? CodeRange{into->entry, into->entry} : ranges.front();
    ranges.erase(std::remove_if(ranges.begin(), ranges.end(),
                                [](const CodeRange& range) {
                                  return range.begin == range.end;
                                }),
                 ranges.end());
    if (ranges.empty()) ranges.push_back(empty);
    Dwarf_Die origin = AbstractOrigin(*die);
    const char* name = LinkageName(&origin);
    if (name != nullptr && !with_library_ && IsOfStandardLibrary(name)) return;
    if (HasTooMany()) return;
    const uint32_t holder = result_.NumberOf(*into);
    const Place place = PlaceOf(&origin);
    if (name == nullptr || !IsOfStandardLibrary(name)) {
      inlined_[place].has_copy = true;
    }
    for (const CodeRange& range : ranges) {
      pending_.push_back({place, holder, range});
      if (name == nullptr) continue;
      Add(result_.by_name_, result_.names_.Add(name), holder, range);
    }
  }

  InlinedCopyTable& result_;
  const SymbolTable& symbols_;
  const bool with_library_;
  Dwarf* main_ = nullptr;
  bool is_partial_ = false;  // the unit that is read
  std::size_t covered_at_most_ = kMostRanges;
  std::vector<Pending> pending_;
  // The number of the function.
  absl::flat_hash_map<Place, uint32_t> entry_of_origin_;
  absl::flat_hash_map<Place, Inlined> inlined_;
  // Of abstract instances of partial units: they are known until the end, which
  // is longer than libdw keeps what it has read.
  std::unordered_set<std::string> kept_names_;
  absl::flat_hash_set<std::string> traceless_names_;
};

bool InlinedCopyTable::ReadFrom(DwarfFile& file, bool with_library) {
  return Reader(this, symbols_, with_library).Read(file);
}

}  // namespace code_internal
}  // namespace instar

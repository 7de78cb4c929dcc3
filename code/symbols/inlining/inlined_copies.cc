// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/inlined_copies.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fork_mutex.h"
#include "base/linux/mapped_file.h"
#include "base/linux/own_descriptor.h"
#include "code/symbols/images/symbol_name.h"
#include "code/symbols/inlining/dwarf_file.h"

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

// Functions of the standard library, which nobody redefines.
bool IsOfStandardLibrary(absl::string_view linkage_name) {
  for (absl::string_view prefix :
       {"_ZNSt", "_ZNKSt", "_ZSt", "_ZN9__gnu_cxx", "_ZNK9__gnu_cxx"}) {
    if (absl::StartsWith(linkage_name, prefix)) return true;
  }
  return false;
}

// What the compiler adds to a unit, and may leave out of its ranges: code that
// runs when an object is loaded, and entries that adjust `this`.
bool IsOfCompiler(absl::string_view linkage_name) {
  for (absl::string_view prefix :
       {"_GLOBAL__", "_sub_", "_ZTh", "_ZTv", "_ZTc", "_ZTW", "_ZTH"}) {
    if (absl::StartsWith(linkage_name, prefix)) return true;
  }
  return absl::EndsWith(linkage_name, ".resolver");
}

constexpr char kTooMany[] =
    "has more inlined functions than are kept; build the parts that are not "
    "updated without debug information";

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
    Resolve([](const Place&) { return true; });
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
    Resolve([&offsets](const Place& place) {
      return !place.first || offsets.Contains(place.second);
    });
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
  void Resolve(IsMeant is_meant) {
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
  std::size_t covered_at_most_ = kMostRanges;
  std::vector<Pending> pending_;
  // The number of the function.
  absl::flat_hash_map<Place, uint32_t> entry_of_origin_;
};

void InlinedCopyTable::Make() {
  const SymbolTable& table = symbols_;
  try {
    described_.resize(table.functions().size());
    Read(table);
    FindUndescribed(table);
  } catch (const std::bad_alloc&) {
    Clear("no memory");  // which takes none
    try {
      missing_because_ = absl::StrCat(
          "there is no memory for the debug information of ", table.name());
    } catch (const std::bad_alloc&) {
      // It stays as it is.
    }
  }
}

void InlinedCopyTable::Clear(std::string why) {
  missing_because_ = std::move(why);
  by_entry_ = {};
  by_name_ = {};
  names_ = {};
  described_.assign(described_.size(), false);
  undescribed_ = {};
  covered_ = {};
}

void InlinedCopyTable::Read(const SymbolTable& table) {
  const absl::StatusOr<OwnDescriptor> file = table.OpenDebugInformation();
  if (!file.ok()) {
    missing_because_ = std::string(file.status().message());
    return;
  }
  const TruncationGuard guard;  // it may be overwritten at any time
  absl::StatusOr<DwarfFile> dwarf = DwarfFile::Of(file->number());
  if (absl::IsNotFound(dwarf.status())) {
    missing_because_ = absl::StrCat(table.name(), " has no debug information");
    return;
  }
  if (!dwarf.ok()) {
    missing_because_ =
        absl::StrCat("the debug information of ", table.name(),
                     " cannot be read: ", dwarf.status().message());
    return;
  }
  if (!Reader(this, table, /*with_library=*/true).Read(*dwarf)) {
    Clear("");
    is_without_library_ = true;
    if (!dwarf->Reopen() ||
        !Reader(this, table, /*with_library=*/false).Read(*dwarf)) {
      Clear(absl::StrCat(table.name(), " ", kTooMany));
    }
  }
  if (guard.has_hit()) {
    Clear(absl::StrCat("the debug information of ", table.name(),
                       " was overwritten while it was read"));
  }
}

void InlinedCopyTable::FindUndescribed(const SymbolTable& table) {
  for (const FunctionRecord& function : table.functions()) {
    if (!function.has_patchable_entry || function.size == 0 ||
        Covers(function.entry)) {
      continue;
    }
    const auto names = table.names(function);
    if (!names.empty() && IsOfCompiler(names[0])) continue;
    undescribed_.push_back(&function);
  }
}

bool InlinedCopyTable::Covers(uintptr_t address) const {
  const auto next = std::upper_bound(
      covered_.begin(), covered_.end(), address,
      [](uintptr_t at, const CodeRange& range) { return at < range.begin; });
  return next != covered_.begin() && std::prev(next)->Contains(address);
}

bool InlinedCopyTable::Keeps(absl::string_view linkage_name) const {
  return !is_without_library_ || !IsOfStandardLibrary(linkage_name);
}

absl::Status InlinedCopyTable::Add(const ListedCopy& copy) {
  const auto refuse = [this](uintptr_t address) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a list of inlined copies names a function at ", absl::Hex(address),
        ", where ", symbols_.name(), " has none"));
  };
  const FunctionRecord* const into = symbols_.FindEntry(copy.into);
  if (into == nullptr) return refuse(copy.into);
  const auto offset = static_cast<std::int64_t>(copy.begin - copy.into);
  const std::size_t size = copy.end - copy.begin;
  if (!copy.of_name.empty()) {
    by_name_.Add(names_.Add(copy.of_name), NumberOf(*into), offset, size);
    return absl::OkStatus();
  }
  const FunctionRecord* const of = symbols_.FindEntry(copy.of_entry);
  if (of == nullptr) return refuse(copy.of_entry);
  by_entry_.Add(NumberOf(*of), NumberOf(*into), offset, size);
  return absl::OkStatus();
}

std::vector<ListedCopy> InlinedCopyTable::All() const {
  std::vector<ListedCopy> all;
  const auto add = [&](std::string name, uintptr_t entry,
                       const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) {
      all.push_back(
          {name, entry, copy.into->entry, copy.range.begin, copy.range.end});
    }
  };
  for (uint32_t i = 0; i < name_count(); ++i) {
    add(std::string(name(i)), 0, OfNumber(i));
  }
  // Constructors have other names in debug information: by entry as well.
  for (const FunctionRecord& function : symbols_.functions()) {
    add("", function.entry, Expand(by_entry_.Of(NumberOf(function))));
  }
  return all;
}

namespace {
std::atomic<std::uint64_t> declaration_count{0};
}  // namespace

std::uint64_t InlinedCopyTable::declarations() {
  // Pairs with the store in Declare().
  return declaration_count.load(std::memory_order_acquire);
}

struct InlinedCopyTable::Tables {
  absl::flat_hash_map<const SymbolTable*,
                      std::unique_ptr<const InlinedCopyTable>>
      tables;
  // Which others may use for as long as the process lives.
  std::vector<std::unique_ptr<const InlinedCopyTable>> replaced;

  // fork() does not wait for it: it is owned while debug information is read.
  static ForkGuarded<Tables>::Access Get() {
    static ForkGuarded<Tables> all;
    return all.Lock();
  }
};

const InlinedCopyTable& InlinedCopyTable::Of(const SymbolTable& table) {
  const auto all = Tables::Get();
  std::unique_ptr<const InlinedCopyTable>& copies = all->tables[&table];
  if (copies == nullptr) {
    std::unique_ptr<InlinedCopyTable> made(new InlinedCopyTable(table));
    made->Make();
    copies = std::move(made);
  }
  return *copies;
}

bool InlinedCopyTable::IsRead(const SymbolTable& table) {
  const auto all = Tables::Get();
  const auto known = all->tables.find(&table);
  return known != all->tables.end() && known->second != nullptr;
}

absl::Status InlinedCopyTable::Declare(const SymbolTable& table,
                                       absl::Span<const ListedCopy> copies) {
  std::unique_ptr<InlinedCopyTable> made(new InlinedCopyTable(table));
  for (const ListedCopy& copy : copies) {
    const absl::Status status = made->Add(copy);
    if (!status.ok()) return status;
  }
  if (!made->by_entry_.is_complete() || !made->by_name_.is_complete()) {
    return absl::InvalidArgumentError(
        "a list of inlined copies has one that is farther than 2 GiB away from "
        "the function that holds it");
  }
  made->by_entry_.Finish();
  made->by_name_.Finish();
  made->names_.Finish();
  // What the list does not say is not so.
  made->described_.assign(table.functions().size(), true);
  made->covered_.push_back({0, ~uintptr_t{0}});
  const auto all = Tables::Get();
  all->replaced.reserve(all->replaced.size() + 1);
  std::unique_ptr<const InlinedCopyTable>& current = all->tables[&table];
  if (current != nullptr) all->replaced.push_back(std::move(current));
  current = std::move(made);
  // Pairs with the load in declarations().
  declaration_count.fetch_add(1, std::memory_order_release);
  return absl::OkStatus();
}

uint32_t InlinedCopyTable::NumberOf(const FunctionRecord& function) const {
  return static_cast<uint32_t>(&function - symbols_.functions().data());
}

std::vector<InlinedCopyTable::Copy> InlinedCopyTable::Expand(
    absl::Span<const CopyList::Entry> entries) const {
  std::vector<Copy> copies;
  for (const CopyList::Entry& entry : entries) {
    const FunctionRecord& into = symbols_.functions()[entry.into];
    const uintptr_t begin =
        into.entry + static_cast<uintptr_t>(std::intptr_t{entry.offset});
    copies.push_back({&into, {begin, begin + entry.size}});
  }
  return copies;
}

std::vector<InlinedCopyTable::Copy> InlinedCopyTable::OfEntry(
    uintptr_t entry) const {
  const FunctionRecord* const function = symbols_.FindEntry(entry);
  if (function == nullptr) return {};
  return Expand(by_entry_.Of(NumberOf(*function)));
}

std::vector<InlinedCopyTable::Copy> InlinedCopyTable::OfName(
    absl::string_view linkage_name) const {
  const std::optional<uint32_t> number = names_.Find(linkage_name);
  if (!number.has_value()) return {};
  return OfNumber(*number);
}

std::vector<InlinedCopyTable::Copy> InlinedCopyTable::OfNumber(
    uint32_t number) const {
  return Expand(by_name_.Of(number));
}

bool InlinedCopyTable::Describes(uintptr_t entry) const {
  const FunctionRecord* const function = symbols_.FindEntry(entry);
  return function != nullptr && described_[NumberOf(*function)];
}

std::string UndescribedCode(const SymbolTable& symbols,
                            const InlinedCopyTable& table) {
  constexpr std::size_t kMostNames = 3;
  const absl::Span<const FunctionRecord* const> functions = table.undescribed();
  std::vector<std::string> names;
  for (const FunctionRecord* function : functions.subspan(0, kMostNames)) {
    const auto all = symbols.names(*function);
    names.push_back(all.empty()
                        ? absl::StrCat("at ", absl::Hex(function->entry))
                        : Demangle(all[0]));
  }
  const bool is_one = functions.size() == 1;
  return absl::StrCat(
      functions.size(), is_one ? " function of " : " functions of ",
      symbols.name(), " (", absl::StrJoin(names, ", "),
      functions.size() > kMostNames ? ", ..." : "", is_one ? ") has" : ") have",
      " no debug information that can be read",
      table.unreadable_units().empty()
          ? ""
          : absl::StrCat(": ", table.unreadable_units()));
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/inlined_copies.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
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

}  // namespace

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
  if (!ReadFrom(*dwarf, /*with_library=*/true)) {
    Clear("");
    is_without_library_ = true;
    if (!dwarf->Reopen() || !ReadFrom(*dwarf, /*with_library=*/false)) {
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

bool InlinedCopyTable::IsOfStandardLibrary(absl::string_view linkage_name) {
  for (absl::string_view prefix :
       {"_ZNSt", "_ZNKSt", "_ZSt", "_ZN9__gnu_cxx", "_ZNK9__gnu_cxx"}) {
    if (absl::StartsWith(linkage_name, prefix)) return true;
  }
  return false;
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
std::atomic<std::uint64_t> reading_count{0};
}  // namespace

std::uint64_t InlinedCopyTable::declarations() {
  // Pairs with the store in Declare().
  return declaration_count.load(std::memory_order_acquire);
}

std::uint64_t InlinedCopyTable::changes() {
  // Pairs with the store in Of().
  return declarations() + reading_count.load(std::memory_order_acquire);
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
    // Pairs with the load in changes().
    reading_count.fetch_add(1, std::memory_order_release);
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

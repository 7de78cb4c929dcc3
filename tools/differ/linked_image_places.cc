// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the image has what an object defines: LinkedImage::Locate().

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/linked_image.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// Which bytes around the field of a relocation the linker may rewrite: it
// replaces instructions by shorter ones where it knows more (psABI, "Linker
// Optimization").
struct Rewritten {
  std::uint64_t before;
  std::uint64_t after;  // from the start of the field
};

Rewritten RewrittenBy(std::uint32_t type) {
  switch (type) {
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
    case R_X86_64_GOTTPOFF:
    case R_X86_64_GOTPC32_TLSDESC:
      return {3, 4};
    case kCode4Gotpcrelx:
      return {4, 4};
    case R_X86_64_TLSGD:
      return {4, 12};
    case R_X86_64_TLSLD:
      return {3, 10};
    case R_X86_64_TLSDESC_CALL:
      return {0, 2};
    default:
      return {0, FieldSize(type)};
  }
}

}  // namespace

class LinkedImage::Search {
 public:
  Search(const LinkedImage& image, const Object& object)
      : image_(image), object_(object) {}

  absl::StatusOr<Places> Run() {
    for (const auto& unit : object_.units()) {
      // Which object's copy of a COMDAT group was taken is not known.
      if (unit->is_anonymous() || !unit->main().group.empty() ||
          unit->is_indirect()) {
        continue;
      }
      for (const Symbol* symbol : unit->symbols) {
        // A weak one may have lost against another object's.
        if (symbol->is_local() || symbol->binding == STB_WEAK ||
            symbol->section != unit->main().index) {
          continue;
        }
        const auto found = image_.globals_.find(symbol->name);
        if (found != image_.globals_.end()) {
          INSTAR_RETURN_IF_ERROR(
              Found(unit->main(), AddressOf(*found->second) - symbol->value,
                    symbol->name));
          continue;
        }
        // The linker makes a hidden one local. One of another object may have
        // its name, if the linker has dropped this one.
        const Symbol* hidden = image_.Find(symbol->name);
        if (hidden != nullptr && unit->is_function() &&
            symbol->visibility != STV_DEFAULT &&
            IsSame(unit->main(), AddressOf(*hidden) - symbol->value)) {
          INSTAR_RETURN_IF_ERROR(Found(
              unit->main(), AddressOf(*hidden) - symbol->value, symbol->name));
        }
      }
    }
    const FileSymbols* file = nullptr;
    do {
      while (!queue_.empty()) {
        const Section* section = queue_.front();
        queue_.pop_front();
        INSTAR_RETURN_IF_ERROR(Follow(*section));
      }
      file = FileOf();
      if (file != nullptr) INSTAR_RETURN_IF_ERROR(AddNamed(*file));
    } while (!queue_.empty());
    Places places;
    places.is_complete = file != nullptr;
    for (const auto& unit : object_.units()) {
      const auto found = at_.find(unit->main().index);
      if (found != at_.end()) {
        places.address_of[unit.get()] = found->second;
      } else if (!unit->is_anonymous() && unit->is_global()) {
        for (const Symbol* symbol : unit->symbols) {
          const Symbol* linked =
              symbol->is_local() ? nullptr : image_.Find(symbol->name);
          if (linked == nullptr || symbol->section != unit->main().index) {
            continue;
          }
          const std::uint64_t address = AddressOf(*linked) - symbol->value;
          const bool may_be_other =
              unit->is_function() &&
              (symbol->binding == STB_WEAK || !unit->main().group.empty());
          if (!may_be_other || IsSame(unit->main(), address)) {
            places.address_of[unit.get()] = address;
          }
          break;
        }
      }
      if (unit->parts.size() > 1) AddColdPart(*unit, places);
    }
    return places;
  }

 private:
  // Of a thread-local variable: its place among them.
  static std::uint64_t AddressOf(const Symbol& linked) { return linked.value; }

  absl::Status Found(const Section& section, std::uint64_t address,
                     absl::string_view by) {
    const auto inserted = at_.emplace(section.index, address);
    if (inserted.second) {
      queue_.push_back(&section);
    } else if (inserted.first->second != address) {
      return Other(absl::StrCat(section.name, " would be in two places, says ",
                                Demangle(by)));
    }
    return absl::OkStatus();
  }

  absl::Status Other(const std::string& why) const {
    return absl::InvalidArgumentError(absl::StrCat(
        image_.elf_.path(), " was not linked from ", object_.name(), " (", why,
        "): give the objects of the very build that it comes from"));
  }

  // What has been split off a function, to which its code leads; of a weak one,
  // by its name. (GCC splits no function of a COMDAT group.)
  void AddColdPart(const Unit& function, Places& places) const {
    const Section& cold = *function.parts[1];
    const auto found = at_.find(cold.index);
    if (found != at_.end()) {
      places.cold_part_of[&function] = found->second;
      return;
    }
    for (const Symbol* symbol : function.symbols) {
      const Symbol* const linked =
          symbol->section == cold.index ? image_.Find(symbol->name) : nullptr;
      if (linked != nullptr &&
          IsSame(cold, AddressOf(*linked) - symbol->value)) {
        places.cold_part_of[&function] = AddressOf(*linked) - symbol->value;
      }
    }
  }

  // What this section's contents in the image refer to.
  absl::Status Follow(const Section& section) {
    const std::uint64_t here = at_[section.index];
    if (section.Has(SHF_TLS)) return absl::OkStatus();
    if (!IsSame(section, here)) {
      const Unit* unit = object_.UnitOf(section.index);
      return Other(absl::StrCat(
          section.Has(SHF_EXECINSTR) ? "it has other code for "
                                     : "it has other contents of ",
          Demangle(unit == nullptr ? section.name
                                   : absl::string_view(unit->name))));
    }
    for (const Relocation& relocation : section.relocations) {
      const Symbol& symbol = object_.SymbolOf(relocation);
      const Unit* target = object_.UnitOf(symbol.section);
      const bool is_bound_here =
          symbol.is_local() || symbol.visibility == STV_HIDDEN ||
          symbol.visibility == STV_INTERNAL ||
          (image_.is_shared_object_ && !image_.IsExported(symbol.name));
      // Calls of an indirect function lead to a stub; of a COMDAT group
      // another object's copy may have been taken.
      if (target == nullptr || !is_bound_here || target->is_indirect() ||
          !target->main().group.empty()) {
        continue;
      }
      const Section& to = object_.elf().sections()[symbol.section];
      if (to.Has(SHF_MERGE)) continue;
      const std::uint64_t offset =
          symbol.value + static_cast<std::uint64_t>(relocation.addend);
      std::optional<std::uint64_t> address;
      switch (relocation.type) {
        case R_X86_64_PC32:
        case R_X86_64_PLT32: {
          const auto field = FieldAt(here + relocation.offset);
          if (field) address = here + relocation.offset + *field - offset;
          break;
        }
        case R_X86_64_64: {
          const auto value = image_.PointerAt(here + relocation.offset);
          if (value) address = *value - offset;
          break;
        }
        case R_X86_64_DTPOFF32: {
          // Local dynamic, made local executable: relative to the thread
          // pointer.
          const auto field = FieldAt(here + relocation.offset);
          if (field && section.Has(SHF_EXECINSTR) &&
              !image_.is_shared_object_) {
            address = *field + image_.thread_locals_size_ - offset;
          }
          break;
        }
        case R_X86_64_TLSGD: {
          const auto field = FieldAt(here + relocation.offset + 8);
          if (field && !image_.is_shared_object_) {
            address = *field + image_.thread_locals_size_ - symbol.value;
          }
          break;
        }
        case R_X86_64_GOTPC32_TLSDESC: {
          // mov $offset, %rax
          const auto field = FieldAt(here + relocation.offset);
          if (field && !image_.is_shared_object_) {
            address = *field + image_.thread_locals_size_ - symbol.value;
          }
          break;
        }
        case R_X86_64_TPOFF32: {
          const auto field = FieldAt(here + relocation.offset);
          if (field) address = *field + image_.thread_locals_size_ - offset;
          break;
        }
        default:
          break;
      }
      if (address) {
        INSTAR_RETURN_IF_ERROR(Found(to, *address, section.name));
      }
    }
    return absl::OkStatus();
  }

  // Four bytes, sign-extended.
  std::optional<std::uint64_t> FieldAt(std::uint64_t address) const {
    const auto bytes = image_.elf_.BytesAt(address, 4);
    if (!bytes) return std::nullopt;
    return static_cast<std::uint64_t>(
        std::int64_t{*ReadAt<std::int32_t>(*bytes, 0)});
  }

  // Whether the image has this code here, or this initial value, but for what
  // the linker has filled in.
  bool IsSame(const Section& section, std::uint64_t address) const {
    const auto linked = image_.elf_.BytesAt(address, section.size);
    if (section.type == SHT_NOBITS) {
      return !linked ||
             linked->find_first_not_of('\0') == absl::string_view::npos;
    }
    if (!linked) return false;
    std::string mine(section.bytes);
    const auto copy = [&](std::uint64_t begin, std::uint64_t end) {
      end = std::min<std::uint64_t>(end, mine.size());
      if (begin < end) {
        std::memcpy(&mine[begin], linked->data() + begin, end - begin);
      }
    };
    for (const Relocation& relocation : section.relocations) {
      const Rewritten rewritten = RewrittenBy(relocation.type);
      const std::uint64_t begin =
          relocation.offset - std::min(relocation.offset, rewritten.before);
      copy(begin, relocation.offset + rewritten.after);
    }
    const Unit* unit = object_.UnitOf(section.index);
    if (unit != nullptr) {
      for (const Symbol* symbol : unit->symbols) {
        if (symbol->section == section.index &&
            symbol->value + kNoOp.size() <= mine.size() &&
            absl::string_view(mine).substr(symbol->value, kNoOp.size()) ==
                kOneByteNoOps &&
            linked->substr(symbol->value, kNoOp.size()) == kNoOp) {
          copy(symbol->value, symbol->value + kNoOp.size());
        }
      }
    }
    return mine == *linked;
  }

  // The local symbols of this object in the image: those among which what has
  // been found stands under its name. Null: it is not known which they are.
  const FileSymbols* FileOf() const {
    const FileSymbols* result = nullptr;
    for (const FileSymbols& file : image_.files_) {
      if (file.file != object_.source()) continue;
      absl::flat_hash_map<absl::string_view, std::uint64_t> value_of;
      for (const Symbol* symbol : file.symbols) {
        value_of[symbol->name] = symbol->value;
      }
      bool fits = true;
      bool is_proven = false;
      for (const auto& unit : object_.units()) {
        const auto found = at_.find(unit->main().index);
        if (unit->is_anonymous() || unit->is_global() ||
            unit->symbols.empty() || found == at_.end()) {
          continue;
        }
        const Symbol& symbol = *unit->symbols.front();
        if (symbol.section != unit->main().index) continue;
        const auto value = value_of.find(symbol.name);
        const bool is_it = value != value_of.end() &&
                           value->second - symbol.value == found->second;
        fits = fits && is_it;
        is_proven = is_proven || is_it;
      }
      if (!fits) continue;
      if (is_proven) return &file;
      if (result != nullptr) return nullptr;  // two of that name
      result = &file;
    }
    return result;
  }

  absl::Status AddNamed(const FileSymbols& file) {
    absl::flat_hash_map<absl::string_view, const Symbol*> by_name;
    for (const Symbol* symbol : file.symbols) by_name[symbol->name] = symbol;
    for (const auto& unit : object_.units()) {
      if (unit->is_anonymous() || unit->is_global() || unit->symbols.empty() ||
          at_.count(unit->main().index) != 0) {
        continue;
      }
      const Symbol& symbol = *unit->symbols.front();
      const auto found = by_name.find(symbol.name);
      if (found != by_name.end() && symbol.section == unit->main().index) {
        INSTAR_RETURN_IF_ERROR(Found(unit->main(),
                                     AddressOf(*found->second) - symbol.value,
                                     symbol.name));
      }
    }
    return absl::OkStatus();
  }

  const LinkedImage& image_;
  const Object& object_;
  absl::flat_hash_map<std::uint32_t, std::uint64_t> at_;  // by section
  std::deque<const Section*> queue_;
};

absl::StatusOr<Places> LinkedImage::Locate(const Object& object) const {
  return Search(*this, object).Run();
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/linked_image.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// Not in the <elf.h> of Debian 12.
constexpr std::uint64_t kDtRelr = 36;
constexpr std::uint64_t kDtRelrSize = 35;

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

absl::StatusOr<std::unique_ptr<LinkedImage>> LinkedImage::Read(
    const std::string& path, const std::string& called) {
  INSTAR_ASSIGN_OR_RETURN(ElfFile elf, ElfFile::Read(path, called));
  if (elf.header().e_type != ET_EXEC && elf.header().e_type != ET_DYN) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is neither a program nor a shared object"));
  }
  auto image = std::unique_ptr<LinkedImage>(new LinkedImage(std::move(elf)));
  INSTAR_RETURN_IF_ERROR(image->ReadBuildId());
  bool has_interpreter = false;
  for (const Elf64_Phdr& segment : image->elf_.segments()) {
    has_interpreter = has_interpreter || segment.p_type == PT_INTERP;
    if (segment.p_type == PT_TLS) {
      const std::uint64_t alignment =
          std::max<std::uint64_t>(segment.p_align, 1);
      image->thread_locals_size_ =
          (segment.p_memsz + alignment - 1) / alignment * alignment;
    }
  }
  image->is_shared_object_ =
      image->elf_.header().e_type == ET_DYN && !has_interpreter;
  image->ReadSymbols();
  image->ReadRelocations();
  image->FindLibraries();
  return image;
}

absl::Status LinkedImage::ReadBuildId() {
  build_id_ = elf_.BuildId();
  if (!build_id_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(elf_.path(),
                   " has no build id, by which a module knows its program: "
                   "link it with -Wl,--build-id"));
}

void LinkedImage::ReadSymbols() {
  absl::flat_hash_map<absl::string_view, int> count;
  FileSymbols* file = nullptr;
  for (const Symbol& symbol : elf_.symbols()) {
    if (symbol.type == STT_FILE) {
      files_.push_back({symbol.name, {}});
      file = &files_.back();
    } else if (symbol.section == kUndefined || symbol.name.empty()) {
      continue;
    } else if (!symbol.is_local()) {
      globals_.emplace(symbol.name, &symbol);
    } else {
      if (file != nullptr) file->symbols.push_back(&symbol);
      ++count[symbol.name];
    }
  }
  // All that there is in a stripped program.
  ReadDynamicSymbols();
  // bfd puts hidden ones behind all files, gold and lld elsewhere.
  for (const FileSymbols& one : files_) {
    for (const Symbol* symbol : one.symbols) {
      if (one.file.empty() || count[symbol->name] == 1) {
        hidden_[symbol->name] = symbol;
      }
    }
  }
}

void LinkedImage::ReadRelocations() {
  for (const Section& section : elf_.sections()) {
    if (section.type != SHT_RELA) continue;
    for (std::uint64_t at = 0;; at += sizeof(Elf64_Rela)) {
      const auto entry = ReadAt<Elf64_Rela>(section.bytes, at);
      if (!entry) break;
      if (ELF64_R_TYPE(entry->r_info) == R_X86_64_RELATIVE) {
        relative_[entry->r_offset] =
            static_cast<std::uint64_t>(entry->r_addend);
      } else if (is_shared_object_) {
        ReadSlot(*entry);
      }
    }
  }
  // Those that are packed: a place, then words whose bits are the places after
  // it; the value stands in the place. (gABI, "Relative relocation table".)
  std::uint64_t table = 0;
  std::uint64_t size = 0;
  for (const Elf64_Dyn& entry : elf_.DynamicEntries()) {
    if (entry.d_tag == kDtRelr) table = entry.d_un.d_ptr;
    if (entry.d_tag == kDtRelrSize) size = entry.d_un.d_val;
  }
  const auto bytes = elf_.BytesAt(table, size);
  if (size == 0 || !bytes) return;
  const auto add = [&](std::uint64_t place) {
    const auto value = elf_.BytesAt(place, 8);
    if (value) relative_[place] = *ReadAt<std::uint64_t>(*value, 0);
  };
  std::uint64_t place = 0;
  for (std::uint64_t at = 0; at + 8 <= bytes->size(); at += 8) {
    const std::uint64_t word = *ReadAt<std::uint64_t>(*bytes, at);
    if ((word & 1) == 0) {
      add(word);
      place = word + 8;
    } else {
      for (int bit = 1; bit < 64; ++bit) {
        if ((word >> bit & 1) != 0) {
          add(place + 8 * static_cast<std::uint64_t>(bit - 1));
        }
      }
      place += 63 * 8;
    }
  }
}

std::optional<std::uint64_t> LinkedImage::PointerAt(
    std::uint64_t address) const {
  const auto found = relative_.find(address);
  if (found != relative_.end()) return found->second;
  if (elf_.header().e_type != ET_EXEC) return std::nullopt;
  const auto bytes = elf_.BytesAt(address, 8);
  if (!bytes) return std::nullopt;
  const std::uint64_t value = *ReadAt<std::uint64_t>(*bytes, 0);
  if (value == 0) return std::nullopt;  // to be filled in by name
  return value;
}

void LinkedImage::FindLibraries() {
  const absl::string_view strings = elf_.DynamicStrings();
  std::vector<std::string> folders;
  const std::size_t slash = elf_.path().rfind('/');
  const std::string origin =
      slash == std::string::npos ? "." : elf_.path().substr(0, slash);
  for (const Elf64_Dyn& entry : elf_.DynamicEntries()) {
    if (entry.d_tag != DT_RUNPATH && entry.d_tag != DT_RPATH) continue;
    for (const absl::string_view folder :
         absl::StrSplit(StringAt(strings, entry.d_un.d_val), ':')) {
      std::string path(folder);
      for (const absl::string_view word : {"$ORIGIN", "${ORIGIN}"}) {
        const std::size_t at = path.find(std::string(word));
        if (at != std::string::npos) path.replace(at, word.size(), origin);
      }
      folders.push_back(std::move(path));
    }
  }
  for (const char* folder :
       {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
        "/usr/local/lib/x86_64-linux-gnu", "/usr/local/lib", "/lib64",
        "/usr/lib64", "/lib", "/usr/lib"}) {
    folders.emplace_back(folder);
  }
  // Those that it names, those that these name, and the compiler's own, which
  // whatever it links has.
  std::deque<std::string> wanted = {"libgcc_s.so.1"};
  const auto add_needed = [&](const ElfFile& elf) {
    const absl::string_view names = elf.DynamicStrings();
    for (const Elf64_Dyn& entry : elf.DynamicEntries()) {
      if (entry.d_tag == DT_NEEDED) {
        wanted.emplace_back(StringAt(names, entry.d_un.d_val));
      }
    }
  };
  add_needed(elf_);
  absl::flat_hash_set<std::string> seen;
  for (; !wanted.empty(); wanted.pop_front()) {
    if (!seen.insert(wanted.front()).second) continue;
    for (const std::string& folder : folders) {
      std::string path = absl::StrCat(folder, "/", wanted.front());
      absl::StatusOr<ElfFile> library = ElfFile::Read(path);
      if (!library.ok()) continue;
      library_paths_.push_back(std::move(path));
      libraries_.push_back(
          std::make_unique<const ElfFile>(*std::move(library)));
      for (const Symbol& symbol : libraries_.back()->dynamic_symbols()) {
        if (symbol.section != kUndefined && !symbol.is_local()) {
          in_libraries_.insert(symbol.name);
        }
      }
      add_needed(*libraries_.back());
      break;
    }
  }
}

const Symbol* LinkedImage::FindGlobal(absl::string_view name) const {
  const auto global = globals_.find(name);
  return global == globals_.end() ? nullptr : global->second;
}

const Symbol* LinkedImage::Find(absl::string_view name) const {
  const Symbol* global = FindGlobal(name);
  if (global != nullptr) return global;
  const auto hidden = hidden_.find(name);
  return hidden == hidden_.end() ? nullptr : hidden->second;
}

// --- Where an object's units are ---

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
        if (found == image_.globals_.end()) continue;
        INSTAR_RETURN_IF_ERROR(Found(unit->main(),
                                     AddressOf(*found->second) - symbol->value,
                                     symbol->name));
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
          const bool may_be_other = symbol->binding == STB_WEAK &&
                                    unit->main().group.empty() &&
                                    unit->is_function();
          if (!may_be_other || IsSame(unit->main(), address)) {
            places.address_of[unit.get()] = address;
          }
          break;
        }
      }
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
        if (unit->is_anonymous() || unit->is_global() || found == at_.end()) {
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

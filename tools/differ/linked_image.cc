// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/linked_image.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace instar {
namespace differ {
namespace {

// Not in the <elf.h> of Debian 12.
constexpr std::uint64_t kDtRelr = 36;
constexpr std::uint64_t kDtRelrSize = 35;

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

}  // namespace differ
}  // namespace instar

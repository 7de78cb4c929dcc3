// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/symbol_table.h"

#include <fcntl.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/linux/mapped_file.h"
#include "base/linux/own_descriptor.h"
#include "code/symbols/images/debug_file.h"
#include "code/symbols/images/elf_file.h"

namespace instar {
namespace code_internal {
namespace {

// The number of the file, which is opened again if the program has closed it.
int StillOpen(OwnDescriptor& file, const std::string& path) {
  return file.NumberOrOpen(
      [&path] { return open(path.c_str(), O_RDONLY | O_CLOEXEC); });
}

// A debug file, while symbols are read from it.
class DebugElf {
 public:
  // Empty: there is none. One that cannot be opened is none either.
  explicit DebugElf(const std::string& path)
      : path_(path),
        file_(path.empty() ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_.is_open()) read_.emplace(ElfFile::Of(file_.number()));
  }
  DebugElf(const DebugElf&) = delete;
  DebugElf& operator=(const DebugElf&) = delete;

  bool is_there() const { return file_.is_open(); }
  int number() { return StillOpen(file_, path_); }
  Elf* elf() const {
    return read_.has_value() && read_->ok() ? (*read_)->elf() : nullptr;
  }

 private:
  const std::string path_;
  OwnDescriptor file_;
  std::optional<absl::StatusOr<ElfFile>> read_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SymbolTable>> SymbolTable::OfFile(
    const std::string& path, const std::string& name) {
  OwnDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    return absl::NotFoundError(
        absl::StrCat(name, " cannot be opened: ", std::strerror(errno)));
  }
  const FileIdentity identity = IdentityOf(StillOpen(file, path));
  const TruncationGuard guard;  // it may be overwritten at any time
  const absl::StatusOr<ElfFile> elf = ElfFile::Of(file.number());
  if (!elf.ok()) {
    return absl::Status(
        elf.status().code(),
        absl::StrCat(name, " cannot be read: ", elf.status().message()));
  }
  std::string debug_path = FindDebugFile(elf->elf(), name);
  std::optional<DebugElf> debug(std::in_place, debug_path);
  absl::StatusOr<std::unique_ptr<SymbolTable>> table;
  try {
    table = Of(name, elf->elf(), /*memory=*/nullptr, debug->elf());
    // That of a library which cannot be updated is not worth its time.
    if (table.ok() && !(*table)->has_local_symbols() &&
        (*table)->HasPatchableEntries()) {
      debug_path = FindDebugFileOf((*table)->build_id());
      debug.emplace(debug_path);
      if (debug->is_there()) {
        table = Of(name, elf->elf(), /*memory=*/nullptr, debug->elf());
      }
    }
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there is no memory for the symbols of ", name));
  }
  if (guard.has_hit() || IdentityOf(StillOpen(file, path)) != identity) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " was overwritten while it was read"));
  }
  if (table.ok()) {
    (*table)->path_ = path;
    (*table)->identity_ = identity;
    if (debug->is_there()) {
      (*table)->debug_path_ = debug_path;
      (*table)->debug_identity_ = IdentityOf(debug->number());
    }
  }
  return table;
}

absl::StatusOr<std::unique_ptr<SymbolTable>> SymbolTable::OfLoaded(
    const std::string& name, const ImageInMemory& image,
    const std::string& debug_path, const std::string& why) {
  const TruncationGuard guard;  // both files may be overwritten at any time
  DebugElf debug(debug_path);
  absl::StatusOr<std::unique_ptr<SymbolTable>> table;
  try {
    table = Of(name, /*elf=*/nullptr, &image, debug.elf());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there is no memory for the symbols of ", name));
  }
  if (guard.has_hit()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " was overwritten while it was read"));
  }
  if (table.ok() && (*table)->has_local_symbols_ && debug.is_there()) {
    (*table)->debug_path_ = debug_path;
    (*table)->debug_identity_ = IdentityOf(debug.number());
  } else if (table.ok()) {
    (*table)->unreadable_because_ = why;
  }
  return table;
}

bool SymbolTable::HasPatchableEntries() const {
  return std::any_of(functions_.begin(), functions_.end(),
                     [](const FunctionRecord& function) {
                       return function.has_patchable_entry;
                     });
}

absl::StatusOr<OwnDescriptor> SymbolTable::OpenFile() const {
  if (!unreadable_because_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " cannot be read: ", unreadable_because_));
  }
  if (path_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " is not loaded from a file"));
  }
  return Open(path_, identity_);
}

absl::StatusOr<OwnDescriptor> SymbolTable::OpenDebugInformation() const {
  if (debug_path_.empty()) return OpenFile();
  return Open(debug_path_, debug_identity_);
}

absl::StatusOr<OwnDescriptor> SymbolTable::Open(
    const std::string& path, const FileIdentity& identity) const {
  int error = 0;
  // By its name where the path does not lead to it any more: that of a module
  // is a descriptor, which is closed when the module is undone, though its code
  // stays.
  for (const std::string& at : {path, name_}) {
    OwnDescriptor file(open(at.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) {
      if (error == 0) error = errno;
      continue;
    }
    if (IdentityOf(StillOpen(file, at)) == identity) return file;
    error = ESTALE;
  }
  if (error != ESTALE) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " cannot be opened: ", std::strerror(error)));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(name_, " has been replaced by another file"));
}

SymbolTable::FileIdentity SymbolTable::IdentityOf(int file) {
  struct stat status {};
  fstat(file, &status);
  return {status.st_dev, status.st_ino, status.st_size,
          status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec};
}

absl::StatusOr<std::unique_ptr<SymbolTable>> SymbolTable::OfMemory(
    const std::string& name, const char* data, size_t size) {
  elf_version(EV_CURRENT);
  Elf* elf = elf_memory(const_cast<char*>(data), size);
  const absl::Cleanup end = [elf] { elf_end(elf); };
  return Of(name, elf, /*memory=*/nullptr, /*debug_elf=*/nullptr);
}

std::unique_ptr<SymbolTable> SymbolTable::Empty(const std::string& name,
                                                const std::string& why) {
  std::unique_ptr<SymbolTable> table(new SymbolTable);
  table->name_ = name;
  table->unreadable_because_ = why;
  return table;
}

size_t SymbolTable::Fingerprint(absl::Span<const Elf64_Phdr> program_headers,
                                absl::string_view eh_frame_hdr,
                                absl::string_view build_id) {
  const std::hash<std::string_view> hash;
  size_t result = 0;
  Elf64_Addr first = 0;
  for (const Elf64_Phdr& header : program_headers) {
    if (header.p_type != PT_LOAD) continue;
    first = header.p_vaddr;
    break;
  }
  for (Elf64_Phdr header : program_headers) {
    if (header.p_vaddr >= first) header.p_vaddr -= first;
    header.p_paddr = 0;
    header.p_align = 0;
    result = result * 31 +
             hash({reinterpret_cast<const char*>(&header), sizeof(header)});
  }
  for (const absl::string_view part : {eh_frame_hdr, build_id}) {
    result = result * 31 + hash({part.data(), part.size()});
  }
  return result;
}

const FunctionRecord* SymbolTable::FindFunction(uintptr_t address) const {
  const auto next =
      std::upper_bound(stretch_begins_.begin(), stretch_begins_.end(), address);
  auto stretch = stretches_.begin() + (next - stretch_begins_.begin());
  // Assembly nests functions in functions: the innermost begins last.
  while (stretch != stretches_.begin()) {
    --stretch;
    if (stretch->max_end <= address) return nullptr;
    if (address < stretch->end) return &functions_[stretch->function];
  }
  return nullptr;
}

const FunctionRecord* SymbolTable::FindEntry(uintptr_t address) const {
  const auto function = std::lower_bound(
      functions_.begin(), functions_.end(), address,
      [](const FunctionRecord& f, uintptr_t value) { return f.entry < value; });
  if (function == functions_.end() || function->entry != address) {
    return nullptr;
  }
  return &*function;
}

bool SymbolTable::RefersTo(absl::string_view name) const {
  return std::binary_search(references_.begin(), references_.end(), name,
                            std::less<absl::string_view>());
}

bool SymbolTable::Defines(absl::string_view name) const {
  return std::binary_search(definitions_.begin(), definitions_.end(), name,
                            std::less<absl::string_view>());
}

absl::Span<const char* const> SymbolTable::names(
    const FunctionRecord& function) const {
  return absl::MakeConstSpan(names_).subspan(function.first_name,
                                             function.name_count);
}

absl::Span<const CodeRange> SymbolTable::ranges(
    const FunctionRecord& function) const {
  return absl::MakeConstSpan(ranges_).subspan(function.first_range,
                                              function.range_count);
}

absl::Span<const char* const> SymbolTable::clones(
    const FunctionRecord& function) const {
  return absl::MakeConstSpan(clones_).subspan(function.first_clone,
                                              function.clone_count);
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbol_table.h"

#include <fcntl.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "code/debug_file.h"

namespace instar {
namespace code_internal {
namespace {

// The contents of the file, as far as they can be read.
std::string ReadAll(int file) {
  struct stat status {};
  fstat(file, &status);
  std::string contents(status.st_size, '\0');
  size_t size = 0;
  for (ssize_t length; (length = pread(file, &contents[size],
                                       contents.size() - size, size)) > 0;) {
    size += length;
  }
  contents.resize(size);
  return contents;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SymbolTable>> SymbolTable::OfFile(
    const std::string& path, const std::string& name) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return absl::NotFoundError(
        absl::StrCat(name, " cannot be opened: ", std::strerror(errno)));
  }
  const absl::Cleanup close_file = [file] { close(file); };
  elf_version(EV_CURRENT);
  // Read as a whole, since it may be overwritten at any time.
  std::string contents = ReadAll(file);
  Elf* elf = elf_memory(&contents[0], contents.size());
  const absl::Cleanup end = [elf] { elf_end(elf); };
  const std::string debug_path = elf == nullptr ? "" : FindDebugFile(elf, name);
  const int debug_file =
      debug_path.empty() ? -1 : open(debug_path.c_str(), O_RDONLY | O_CLOEXEC);
  const absl::Cleanup close_debug_file = [debug_file] {
    if (debug_file >= 0) close(debug_file);
  };
  Elf* debug_elf = debug_file < 0
                       ? nullptr
                       : elf_begin(debug_file, ELF_C_READ_MMAP, nullptr);
  const absl::Cleanup end_debug = [debug_elf] { elf_end(debug_elf); };
  absl::StatusOr<std::unique_ptr<SymbolTable>> table = Of(name, elf, debug_elf);
  if (table.ok()) {
    (*table)->path_ = path;
    (*table)->identity_ = IdentityOf(file);
    if (debug_file >= 0) {
      (*table)->debug_path_ = debug_path;
      (*table)->debug_identity_ = IdentityOf(debug_file);
    }
  }
  return table;
}

absl::StatusOr<int> SymbolTable::OpenFile() const {
  if (path_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " is not loaded from a file"));
  }
  return Open(path_, identity_);
}

absl::StatusOr<int> SymbolTable::OpenDebugInformation() const {
  if (debug_path_.empty()) return OpenFile();
  return Open(debug_path_, debug_identity_);
}

absl::StatusOr<int> SymbolTable::Open(const std::string& path,
                                      const FileIdentity& identity) const {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " cannot be opened: ", std::strerror(errno)));
  }
  if (IdentityOf(file) != identity) {
    close(file);
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " has been replaced by another file"));
  }
  return file;
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
  return Of(name, elf, /*debug_elf=*/nullptr);
}

std::unique_ptr<SymbolTable> SymbolTable::Empty(const std::string& name,
                                                const std::string& why) {
  std::unique_ptr<SymbolTable> table(new SymbolTable);
  table->name_ = name;
  table->unreadable_because_ = why;
  return table;
}

size_t SymbolTable::Fingerprint(absl::string_view program_headers,
                                absl::string_view eh_frame_hdr) {
  const std::hash<std::string_view> hash;
  return hash({program_headers.data(), program_headers.size()}) * 31 +
         hash({eh_frame_hdr.data(), eh_frame_hdr.size()});
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

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An ELF file of x86-64 as instar-diff sees it: sections with their relocations
// and symbols. It reads relocatable objects, also of static libraries, programs
// and shared objects.
//
// Everything is checked against the file's size before it is followed, so that
// a damaged file gives an error. (System V ABI, chapter 4; x86-64 psABI.)
//
// Lifetime: views point into a mapping that lives as long as the ElfFile, or
// whoever holds its file().
// Threads: immutable.
// Errors: NotFound, PermissionDenied for a file that cannot be read;
//   InvalidArgument for one that is not what it should be. They name the file.

#ifndef INSTAR_TOOLS_DIFFER_ELF_FILE_H_
#define INSTAR_TOOLS_DIFFER_ELF_FILE_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/differ/files/mapped_file.h"

namespace instar {
namespace differ {

// Where a symbol is that is in no section. Others are indexes of sections, also
// where there are more than fit into sixteen bits.
inline constexpr std::uint32_t kUndefined = 0;
inline constexpr std::uint32_t kAbsolute = 0xffff'fff1;
inline constexpr std::uint32_t kCommon = 0xffff'fff2;

// R_X86_64_CODE_4_GOTPCRELX, which the <elf.h> of Debian 12 has not.
inline constexpr std::uint32_t kCode4Gotpcrelx = 43;

struct Symbol {
  absl::string_view name;
  std::uint8_t binding;     // STB_LOCAL, ...
  std::uint8_t type;        // STT_FUNC, ...
  std::uint8_t visibility;  // STV_DEFAULT, ...
  std::uint32_t section;
  std::uint64_t value;
  std::uint64_t size;
  std::uint32_t index;  // in the symbol table

  bool is_local() const { return binding == STB_LOCAL; }
};

struct Relocation {
  std::uint64_t offset;  // of the field, in its section
  std::uint32_t type;    // R_X86_64_PC32, ...
  std::uint32_t symbol;  // index in the symbol table
  std::int64_t addend;
};

struct Section {
  std::uint32_t index;
  absl::string_view name;
  std::uint32_t type;
  std::uint64_t flags;
  std::uint64_t address;
  std::uint64_t size;
  std::uint64_t alignment;
  std::uint64_t entry_size;
  std::uint32_t link;
  std::uint32_t info;
  absl::string_view bytes;              // empty for SHT_NOBITS
  std::vector<Relocation> relocations;  // of an object, by offset
  absl::string_view group;              // of an object: its COMDAT group's name

  bool Has(std::uint64_t flag) const { return (flags & flag) != 0; }
};

class ElfFile {
 public:
  // `path`: of a file, or of a member of a static library (archive.h).
  // `called`: the path that messages name, of a copy.
  static absl::StatusOr<ElfFile> Read(const std::string& path,
                                      const std::string& called = "");

  ElfFile(ElfFile&&) = default;
  ElfFile& operator=(ElfFile&&) = default;

  const std::string& path() const { return path_; }
  // Where it is: path(), unless it is a copy that is called otherwise.
  const std::string& copy_path() const { return copy_path_; }
  absl::string_view bytes() const { return bytes_; }
  // What names and bytes point into.
  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  bool is_object() const { return header_.e_type == ET_REL; }
  const Elf64_Ehdr& header() const { return header_; }
  const std::vector<Elf64_Phdr>& segments() const { return segments_; }
  const std::vector<Section>& sections() const { return sections_; }
  const std::vector<Symbol>& symbols() const { return symbols_; }
  const std::vector<Symbol>& dynamic_symbols() const {
    return dynamic_symbols_;
  }
  const Section* FindSection(absl::string_view name) const;  // null: none

  // Of a linked file, in hexadecimal digits; empty if it has none.
  std::string BuildId() const;
  // The entries of .dynamic, in their order.
  std::vector<Elf64_Dyn> DynamicEntries() const;
  // What their names are offsets in.
  absl::string_view DynamicStrings() const;

  // Bytes of a linked file at this address; nothing if the file has none there.
  std::optional<absl::string_view> BytesAt(std::uint64_t address,
                                           std::uint64_t size) const;

 private:
  ElfFile() = default;

  absl::Status Damaged(absl::string_view what) const;
  absl::Status GoToMember(const std::string& name);
  absl::Status ReadHeaders();
  absl::Status ReadSections();
  absl::StatusOr<std::vector<Symbol>> ReadSymbols(const Section& table) const;
  absl::Status ReadRelocations(const Section& table);
  absl::Status ReadGroup(const Section& group);

  std::string path_;
  std::string copy_path_;
  std::shared_ptr<const MappedFile> file_;
  absl::string_view bytes_;
  Elf64_Ehdr header_ = {};
  std::vector<Elf64_Phdr> segments_;
  std::vector<Section> sections_;
  std::vector<Symbol> symbols_;
  std::vector<Symbol> dynamic_symbols_;
};

// A T at this offset of `bytes`; nothing if it does not lie in them.
template <typename T>
std::optional<T> ReadAt(absl::string_view bytes, std::uint64_t offset) {
  if (offset > bytes.size() || sizeof(T) > bytes.size() - offset) {
    return std::nullopt;
  }
  T value;
  __builtin_memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// The string at this offset of a string table; empty if it has no end.
absl::string_view StringAt(absl::string_view table, std::uint64_t offset);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_ELF_FILE_H_

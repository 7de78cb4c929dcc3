// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The part of a shared object's file that is loaded, as bytes: what its program
// headers, its dynamic section and its notes say, read without loading it.
//
//   INSTAR_ASSIGN_OR_RETURN(ElfImage image, ElfImage::Read(file, size));
//   image.ForEachNote([](absl::string_view owner, uint32_t type,
//                        absl::string_view descriptor) { ... });
//
// Everything that the file says is checked against its size before it is
// followed, so that a truncated, damaged or hostile file gives an error or
// wrong names, never a read out of bounds; a file that is accepted has segments
// that can be mapped. Sections are looked at only if the whole file is read:
// stripping may remove them.
//
// Threads: immutable. Views point into the image.
// Errors: InvalidArgument, a phrase that goes on after "it ".

#ifndef INSTAR_MANAGER_MODULE_ELF_IMAGE_H_
#define INSTAR_MANAGER_MODULE_ELF_IMAGE_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace manager_internal {

// Calls `visit` for each note of a PT_NOTE segment; stops at the first one that
// does not fit.
void ForEachNoteIn(
    absl::string_view segment,
    absl::FunctionRef<void(absl::string_view owner, std::uint32_t type,
                           absl::string_view descriptor)>
        visit);

// "0123abcd" of the descriptor of an NT_GNU_BUILD_ID.
std::string HexDigits(absl::string_view bytes);

class ElfImage {
 public:
  ElfImage(ElfImage&&) = default;  // the bytes stay where they are
  ElfImage& operator=(ElfImage&&) = default;

  enum class Part { kLoaded, kWholeFile };
  // Reads from the file's start to the end of its last segment, or all of it
  // and where its sections are. `file_size` is that of the file.
  static absl::StatusOr<ElfImage> Read(int file, std::size_t file_size,
                                       Part part = Part::kLoaded);

  // The file's first bytes, up to the end of the last segment, or all.
  const std::string& bytes() const { return bytes_; }

  // Of a whole file: the section of this name, of which there is one.
  struct Section {
    std::size_t offset;  // in bytes()
    std::size_t size;
  };
  std::optional<Section> FindSection(absl::string_view name) const;
  absl::string_view Contents(const Section& section) const {
    return absl::string_view(bytes_).substr(section.offset, section.size);
  }

  struct SectionHeader {
    absl::string_view name;
    std::uint32_t type;
    std::uint64_t flags;
    std::uint64_t address;
    std::uint64_t size;
  };
  // All sections of a whole file.
  const std::vector<SectionHeader>& SectionHeaders() const {
    return section_headers_;
  }

  void ForEachNote(
      absl::FunctionRef<void(absl::string_view owner, std::uint32_t type,
                             absl::string_view descriptor)>
          visit) const;

  absl::string_view soname() const { return soname_; }  // empty if none
  const std::vector<absl::string_view>& needed() const { return needed_; }

  // Symbols that others must define; weak ones, which may stay undefined, are
  // left out. Linkage names.
  std::vector<absl::string_view> UndefinedSymbols() const;

  // The symbol that the image defines under this name.
  std::optional<Elf64_Sym> FindDefined(absl::string_view name) const;

  // All that it defines whose name begins so.
  std::vector<Elf64_Sym> DefinedWithPrefix(absl::string_view prefix) const;

  // Where its last segment ends in the file.
  std::size_t loaded_size() const { return loaded_size_; }
  // Bytes of its executable segments.
  std::size_t code_size() const { return code_size_; }
  // Says so, or says nothing: then the dynamic linker takes it for old.
  bool wants_executable_stack() const { return wants_executable_stack_; }

  // What can be written once it is loaded and relocated, by address.
  struct Range {
    std::uint64_t address;
    std::uint64_t size;
  };
  std::vector<Range> VariableRanges() const;
  bool has_thread_locals() const;

  // Where in bytes() the file's contents for [address, address + size) stand;
  // nothing if not all of it is loaded from the file.
  std::optional<std::size_t> OffsetOf(std::uint64_t address,
                                      std::uint64_t size) const;
  // The same, if it is loaded as code.
  std::optional<std::size_t> OffsetOfCode(std::uint64_t address,
                                          std::uint64_t size) const;

  const std::vector<Elf64_Phdr>& segments() const { return segments_; }
  const std::vector<Elf64_Dyn>& dynamic() const { return dynamic_; }
  std::size_t dynamic_offset() const { return dynamic_offset_; }
  std::size_t symbols_offset() const { return symbols_offset_; }
  std::size_t symbol_count() const { return symbol_count_; }

  // Where the value of a dynamic entry stands in bytes(); nothing if there is
  // no such entry. The entry's value itself is an Elf64_Xword.
  std::optional<std::size_t> OffsetOfDynamicValue(Elf64_Sxword tag) const;
  // Where DT_SONAME stands in bytes().
  std::optional<std::size_t> OffsetOfSoname() const;
  std::optional<Elf64_Xword> DynamicValue(Elf64_Sxword tag) const;

 private:
  ElfImage() = default;

  absl::Status ReadHeaders(int file, std::size_t file_size, Part part);
  absl::Status ReadSections();
  absl::Status ReadDynamicSection();
  absl::Status CountSymbols();

  // A T at this offset of the file; nothing if it does not lie in bytes().
  template <typename T>
  std::optional<T> At(std::size_t offset) const;
  std::optional<std::size_t> OffsetIn(std::uint64_t address, std::uint64_t size,
                                      Elf64_Word flags) const;
  // The string at this offset of the string table; nothing if it has no end.
  std::optional<absl::string_view> StringAt(std::uint64_t offset) const;
  Elf64_Sym SymbolAt(std::size_t index) const;

  std::string bytes_;
  std::vector<Elf64_Phdr> segments_;
  std::vector<Elf64_Dyn> dynamic_;
  std::size_t dynamic_offset_ = 0;
  absl::string_view strings_;  // of the dynamic section
  std::size_t symbols_offset_ = 0;
  std::size_t symbol_count_ = 0;
  absl::string_view soname_;
  std::vector<absl::string_view> needed_;
  // Names may be twice: compilers make such sections.
  std::vector<std::pair<absl::string_view, Section>> sections_;
  std::vector<SectionHeader> section_headers_;
  std::size_t loaded_size_ = 0;
  std::size_t code_size_ = 0;
  bool wants_executable_stack_ = false;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_ELF_IMAGE_H_

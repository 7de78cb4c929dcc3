// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads an image for a SymbolTable: its segments, its symbols and its unwind
// information, from the file or from memory. The builder of the table
// (code/symbols/images/symbol_table_builder.cc) makes functions of them.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_TABLE_READER_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_TABLE_READER_H_

#include <elf.h>
#include <libelf.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/symbol_table.h"

namespace instar {
namespace code_internal {

class SymbolTable::Reader {
 public:
  // Of a function.
  struct Symbol {
    const char* name;  // in the table's strings
    uintptr_t value;
    size_t size;
    uint32_t source;  // number of the STT_FILE symbol before it; 0 if not local
    SymbolBinding binding;
    bool is_indirect;
  };

  // Of a file, or of what lies in memory: `elf` or `memory` is null.
  // `debug_elf`, of the separate debug file, may be null.
  Reader(SymbolTable* table, Elf* elf, const ImageInMemory* memory,
         Elf* debug_elf)
      : table_(*table), elf_(elf), memory_(memory), debug_elf_(debug_elf) {}

  // Puts into the table what needs no functions: the strings, variables,
  // references, definitions, the build id and the fingerprint.
  // Error: FailedPrecondition if it is no 64-bit ELF file.
  absl::Status Read();

  // The bytes of the image that are loaded at `address`; empty if none are.
  absl::string_view Loaded(uintptr_t address) const;

  // The functions, in the order of the file. Once.
  std::vector<Symbol> TakeSymbols() { return std::move(symbols_); }
  // Whether the dynamic symbols have this one.
  bool IsExported(absl::string_view name, uintptr_t value) const {
    return exported_.contains({name, value});
  }
  // By address.
  const std::vector<CodeRange>& unwind_entries() const {
    return unwind_entries_;
  }
  const std::vector<CodeRange>& linkage_stubs() const { return linkage_stubs_; }

 private:
  absl::Span<const Elf64_Phdr> ProgramHeaders() const;
  void ReadProgramHeaders();
  void ReadSections();
  // What the dynamic linker reads: the symbols, of which there are as many as
  // the hash table knows.
  void ReadDynamicSegment();
  void ReadAllSymbols();
  void ReadSection(Elf* elf, Elf_Scn* section, bool exported);
  void ReadSymbols(absl::Span<const Elf64_Sym> symbols,
                   absl::string_view strings, bool exported);

  SymbolTable& table_;
  Elf* const elf_;  // null if it is in memory
  const ImageInMemory* const memory_;
  Elf* const debug_elf_;
  Elf_Scn* all_ = nullptr;  // .symtab
  Elf64_Phdr dynamic_{};
  const char* raw_ = nullptr;
  size_t raw_size_ = 0;
  std::vector<Elf64_Phdr> loads_;
  std::vector<CodeRange> unwind_entries_;
  std::vector<CodeRange> linkage_stubs_;
  std::vector<Symbol> symbols_;
  absl::flat_hash_set<std::pair<absl::string_view, uintptr_t>> exported_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_TABLE_READER_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions and variables of one ELF file (a program, a shared object, the
// kernel's vDSO), read once.
//
//   INSTAR_ASSIGN_OR_RETURN(std::unique_ptr<SymbolTable> table,
//                           SymbolTable::OfFile("/proc/thread-self/exe",
//                                               "the program"));
//   const FunctionRecord* f = table->FindFunction(pc - load_base);
//
// Sources: .symtab (file-local symbols and all; of a stripped file, that of its
// separate debug file), .dynsym, and .eh_frame_hdr, which lists the functions
// of stripped files too. The last two lie in memory as well, for an image whose
// file was replaced before it was read. Addresses are the file's own: add the
// load base of the image for those of the process.
//
// Symbols that stand at one address (aliases, complete and base constructors)
// are one function with several names. What the compiler split off a function,
// `f.cold`, `f.part.0`, `f.constprop.0`, is code of `f` if the file has an `f`;
// otherwise it is a function of its own.
//
// Threads: immutable once made; a lookup by address takes no lock and allocates
// nothing, so that it may be done in a signal handler.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_TABLE_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_TABLE_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/linux/own_descriptor.h"
#include "code/symbols/images/code_range.h"

typedef struct Elf Elf;

namespace instar {

// Who can see a symbol. kWeak is what a COMDAT function (`inline`, a template)
// shows as once it is linked.
enum class SymbolBinding : uint8_t { kLocal, kGlobal, kWeak };

namespace code_internal {

struct FunctionRecord {
  uintptr_t entry = 0;
  size_t size = 0;           // bytes from the entry; 0 if nothing tells
  uint32_t first_name = 0;   // of SymbolTable::names(); the main name first
  uint32_t name_count = 0;   // 0: known from unwind information alone
  uint32_t first_range = 0;  // of SymbolTable::ranges(); the entry's first
  uint32_t range_count = 0;
  uint32_t first_clone = 0;  // of SymbolTable::clones()
  uint32_t clone_count = 0;
  SymbolBinding binding = SymbolBinding::kLocal;
  bool is_exported = false;  // in the dynamic symbol table
  bool is_indirect = false;  // STT_GNU_IFUNC: the entry is the resolver's
  bool has_patchable_entry = false;
};

struct VariableRecord {
  const char* name = nullptr;
  uintptr_t address = 0;  // of a thread-local one: offset in its block
  size_t size = 0;
  SymbolBinding binding = SymbolBinding::kLocal;
  bool is_exported = false;
  bool is_thread_local = false;
};

// An image as it lies in memory, which can be read meanwhile.
struct ImageInMemory {
  absl::Span<const Elf64_Phdr> program_headers;
  uintptr_t load_base = 0;
};

class SymbolTable {
 public:
  // Reads the file at `path`; what is said of it calls it `name`.
  // The file is mapped meanwhile, so that its size costs no memory.
  // Errors: NotFound or FailedPrecondition if the file cannot be read, is no
  // 64-bit ELF file, or is overwritten meanwhile; ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<SymbolTable>> OfFile(
      const std::string& path, const std::string& name);
  // Of an image that lies whole in memory, as the vDSO does.
  static absl::StatusOr<std::unique_ptr<SymbolTable>> OfMemory(
      const std::string& name, const char* data, size_t size);
  // Of a loaded image whose file cannot be read, which `why` says: exported
  // symbols and functions without a name. If its debug file is there (the path
  // of one is known to be right, or empty), it has all symbols.
  static absl::StatusOr<std::unique_ptr<SymbolTable>> OfLoaded(
      const std::string& name, const ImageInMemory& image,
      const std::string& debug_path, const std::string& why);
  // Of an image of which nothing can be read; `why` goes into error messages.
  static std::unique_ptr<SymbolTable> Empty(const std::string& name,
                                            const std::string& why);

  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;

  const std::string& name() const { return name_; }

  // False if the file was stripped and has no separate debug file: then its
  // exported symbols alone are known.
  bool has_local_symbols() const { return has_local_symbols_; }
  // Whether it has a function whose entry can be redirected.
  bool HasPatchableEntries() const;
  // Empty, or the reason why no symbols are known but those in memory, or none
  // at all.
  const std::string& unreadable_because() const { return unreadable_because_; }
  // A hash of the program headers, of .eh_frame_hdr and of the build id, by
  // which an image in memory is recognised as loaded from this very file.
  size_t fingerprint() const { return fingerprint_; }
  // Its bytes; empty if it has none.
  const std::string& build_id() const { return build_id_; }
  // Whether it notes that functions of external linkage were inlined in their
  // file, as instar-cc does with -fno-semantic-interposition
  // (tools/install/inlining.h).
  bool inlines_external() const { return inlines_external_; }

  // Opens the file again, to be closed by the caller. Error: FailedPrecondition
  // if another file has its name now.
  absl::StatusOr<OwnDescriptor> OpenFile() const;
  // The same for the file that holds its debug information: the separate one
  // (code/symbols/images/debug_file.h) if there is one, or else the file
  // itself.
  absl::StatusOr<OwnDescriptor> OpenDebugInformation() const;

  // The function that has code at this address, or null.
  const FunctionRecord* FindFunction(uintptr_t address) const;
  // The function that starts at this address, or null.
  const FunctionRecord* FindEntry(uintptr_t address) const;

  // Whether it uses, and does not define, a symbol of this linkage name. Of
  // what the linker resolved within the file nothing is known.
  bool RefersTo(absl::string_view name) const;
  // Whether its dynamic symbols have this function.
  bool Defines(absl::string_view name) const;

  // The names of which that is said, each in order.
  absl::Span<const char* const> references() const { return references_; }
  absl::Span<const char* const> definitions() const { return definitions_; }

  absl::Span<const FunctionRecord> functions() const { return functions_; }
  // Whether any of them has an entry that can be patched.
  bool has_patchable_entries() const { return has_patchable_entries_; }
  absl::Span<const VariableRecord> variables() const { return variables_; }
  absl::Span<const char* const> names(const FunctionRecord& function) const;
  absl::Span<const CodeRange> ranges(const FunctionRecord& function) const;
  // The names of copies that callers reach without passing the entry.
  absl::Span<const char* const> clones(const FunctionRecord& function) const;

  // Hashes what `fingerprint` hashes. Of the program headers, what stays the
  // same when an image is moved (manager/module/moved_image.h).
  static size_t Fingerprint(absl::Span<const Elf64_Phdr> program_headers,
                            absl::string_view eh_frame_hdr,
                            absl::string_view build_id);

 private:
  class Builder;
  class Reader;
  // A stretch of code of functions_[function].
  struct Stretch {
    uintptr_t begin;
    uintptr_t end;
    uintptr_t max_end;  // of this stretch and all before it
    uint32_t function;
  };

  // The device, inode, size and time of change in ns of a file.
  using FileIdentity = std::tuple<uint64_t, uint64_t, int64_t, int64_t>;

  SymbolTable() = default;

  static FileIdentity IdentityOf(int file);
  // Opens the file at `path` if it is the one that it was.
  absl::StatusOr<OwnDescriptor> Open(const std::string& path,
                                     const FileIdentity& identity) const;

  static absl::StatusOr<std::unique_ptr<SymbolTable>> Of(
      const std::string& name, Elf* elf, const ImageInMemory* memory,
      Elf* debug_elf);

  std::string name_;
  std::string path_;  // of the file; empty if it was in memory
  FileIdentity identity_{};
  std::string debug_path_;  // of the separate debug file; empty if none
  FileIdentity debug_identity_{};
  std::string unreadable_because_;
  bool has_local_symbols_ = false;
  bool has_patchable_entries_ = false;
  size_t fingerprint_ = 0;
  std::string build_id_;
  bool inlines_external_ = false;
  std::vector<std::string> string_tables_;  // what the names point into
  std::vector<FunctionRecord> functions_;   // by entry
  std::vector<VariableRecord> variables_;   // in the order of the file
  std::vector<const char*> names_;
  std::vector<const char*> references_;   // undefined symbols, in order
  std::vector<const char*> definitions_;  // functions that it exports, in order
  std::vector<const char*> clones_;
  std::vector<CodeRange> ranges_;
  std::vector<Stretch> stretches_;         // by begin
  std::vector<uintptr_t> stretch_begins_;  // of stretches_: denser to search
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_TABLE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the functions of one ELF file have been inlined, from its debug
// information (DWARF, DW_TAG_inlined_subroutine), read once.
//
// The file is mapped while it is read, so that its size costs no memory; what
// is kept is bounded: at most some 30 MiB. Of a file with very many copies
// those of the standard library's functions are not kept, and of one with still
// more none.
//
// What is known has its limits, which are asked for: a unit that was compiled
// without debug information, or whose debug information cannot be read (it was
// split off, and the other file is gone), may hold copies of anything.
//
// Threads: may be used from any thread; immutable once made.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_INLINED_COPIES_H_
#define INSTAR_CODE_SYMBOLS_INLINING_INLINED_COPIES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/name_list.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/inlining/copy_list.h"

namespace instar {
namespace code_internal {

class DwarfFile;

// A copy as a list says it (code/symbols/inlining/inlined_copy_list.h), in the
// addresses of the file: of a function by linkage name, or by entry if that is
// empty.
struct ListedCopy {
  std::string of_name;
  uintptr_t of_entry = 0;
  uintptr_t into = 0;
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

class InlinedCopyTable {
 public:
  struct Copy {
    const FunctionRecord* into;
    CodeRange range;  // in the addresses of the file; empty if no code is left
  };

  // The copies in this file. Made when first asked for, and kept for as long as
  // the process lives.
  static const InlinedCopyTable& Of(const SymbolTable& table);
  // Whether that has been asked for.
  static bool IsRead(const SymbolTable& table);

  // From now on the copies are these and no others, in place of what debug
  // information says. What Of() has answered stays as it is.
  // Error: InvalidArgument if one is of, or into, a function that is not there.
  static absl::Status Declare(const SymbolTable& table,
                              absl::Span<const ListedCopy> copies);
  // Counts the calls of Declare(): what was made of tables before may be old.
  static std::uint64_t declarations();
  // The same, and how many tables Of() has made: what is known.
  static std::uint64_t changes();

  // All copies, in no order.
  std::vector<ListedCopy> All() const;

  // Of the function of this file that starts at `entry`.
  std::vector<Copy> OfEntry(uintptr_t entry) const;
  // Of the function with this linkage name, which may be defined elsewhere.
  std::vector<Copy> OfName(absl::string_view linkage_name) const;
  // The linkage names of which there are copies, each once, in no order; and
  // the copies of one of them, by its place.
  size_t name_count() const { return names_.size(); }
  absl::string_view name(uint32_t number) const { return names_[number]; }
  std::vector<Copy> OfNumber(uint32_t number) const;

  // Functions of units that were compiled to be updatable, as their entries
  // show, and of which there is no debug information that can be read: their
  // code may hold copies that nobody knows.
  absl::Span<const FunctionRecord* const> undescribed() const {
    return undescribed_;
  }
  // Whether the debug information of a unit says of this code what it is.
  bool Covers(uintptr_t address) const;
  // Whether copies of this function would be listed: those of the standard
  // library are left out if there are too many.
  bool Keeps(absl::string_view linkage_name) const;
  // Why the debug information of some units cannot be read; empty if there is
  // none that cannot.
  const std::string& unreadable_units() const { return unreadable_units_; }

  bool is_empty() const { return by_name_.size() == 0; }

  // Whether there is debug information on the function that starts there.
  bool Describes(uintptr_t entry) const;

  // Empty, or why there is no debug information at all.
  const std::string& missing_because() const { return missing_because_; }

 private:
  class Reader;
  struct Tables;

  // Empty.
  explicit InlinedCopyTable(const SymbolTable& table) : symbols_(table) {}
  // From debug information.
  void Make();
  absl::Status Add(const ListedCopy& copy);
  void Read(const SymbolTable& table);
  // False if there are too many copies. Those of the standard library's
  // functions are among them if `with_library`.
  bool ReadFrom(DwarfFile& file, bool with_library);
  // Nobody redefines its functions.
  static bool IsOfStandardLibrary(absl::string_view linkage_name);
  void FindUndescribed(const SymbolTable& table);
  void Clear(std::string why);
  uint32_t NumberOf(const FunctionRecord& function) const;
  std::vector<Copy> Expand(absl::Span<const CopyList::Entry> entries) const;

  const SymbolTable& symbols_;
  std::string missing_because_;
  std::string unreadable_units_;
  bool is_without_library_ = false;
  std::vector<CodeRange> covered_;  // in order, apart
  std::vector<const FunctionRecord*> undescribed_;
  // By the number of the function, and by that of the name. What holds a copy
  // is a function by its number.
  CopyList by_entry_;
  CopyList by_name_;
  NameList names_;
  std::vector<bool> described_;  // by the number of the function
};

// What InlinedCopyTable::undescribed() found, for people: "3 functions of
// /usr/bin/shop (shop::Total(), ...) were compiled without debug information".
std::string UndescribedCode(const SymbolTable& symbols,
                            const InlinedCopyTable& table);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INLINING_INLINED_COPIES_H_

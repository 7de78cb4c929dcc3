// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program, or the shared object, that is to be updated, as it was linked.
//
// Locate() finds where it has what an object defines: from names that others
// know, along the references in its own code, which say where the object's
// static functions and variables have come to lie, whatever other files have
// the same name or the same statics, and also if the program is stripped. On
// the way it compares code and initial values: an object that the program was
// not linked from is refused.

#ifndef INSTAR_TOOLS_DIFFER_LINKED_IMAGE_H_
#define INSTAR_TOOLS_DIFFER_LINKED_IMAGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/differ/elf_file.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {

// Where units of an object are: addresses in the image, of the start of each
// one's section. A function that may be another object's, a weak one or one of
// a COMDAT group, is there if it is the same code.
struct Places {
  absl::flat_hash_map<const Unit*, std::uint64_t> address_of;
  // Of functions that have one: where the section of the cold part is.
  absl::flat_hash_map<const Unit*, std::uint64_t> cold_part_of;
  // Whether what is not there is nowhere in the image. If not, it may be.
  bool is_complete = false;
};

class LinkedImage {
 public:
  // `called`: of a copy, the path that it had, near which its libraries are.
  // Errors: as ElfFile::Read(); InvalidArgument for one without a build id.
  static absl::StatusOr<std::unique_ptr<LinkedImage>> Read(
      const std::string& path, const std::string& called = "");
  LinkedImage(const LinkedImage&) = delete;
  LinkedImage& operator=(const LinkedImage&) = delete;

  const ElfFile& elf() const { return elf_; }
  const std::string& build_id() const { return build_id_; }  // hexadecimal
  bool is_shared_object() const { return is_shared_object_; }
  // False: stripped, so that it has but the names that others can use.
  bool has_symbols() const { return !files_.empty(); }

  // Error: InvalidArgument if the image was not linked from `object`.
  absl::StatusOr<Places> Locate(const Object& object) const;

  // What the image defines under this name, which other images can use; null:
  // nothing.
  const Symbol* FindGlobal(absl::string_view name) const;
  // Also if it is hidden from other images. A static variable or function that
  // is the only one of its name counts as that: ask only for what is none.
  const Symbol* Find(absl::string_view name) const;
  // Whether other images can use what a shared object defines under this name.
  bool IsExported(absl::string_view name) const {
    return exported_.contains(name);
  }
  // Whether another image may define this name of a shared object in its place:
  // what the object itself refers to by it is then that.
  bool MayBePreempted(absl::string_view name) const {
    return is_shared_object_ && !is_symbolic_ && IsExported(name);
  }

  // Where a shared object keeps the address of what it refers to by a name: the
  // dynamic linker has put it there, by the versions of symbols and whatever
  // preempts what. Null: nowhere, or in several places that may differ.
  struct Slot {
    std::uint64_t address;
    // False: of a function that is looked for when it is called first; until
    // then a call gets there, and a pointer is another one than everybody has.
    bool is_address;
  };
  const Slot* FindSlot(absl::string_view name) const;

  // Whether a shared library that it is linked with defines this name.
  bool IsInLibrary(absl::string_view name) const {
    return in_libraries_.contains(name);
  }
  // Shared libraries that it is linked with, as far as they are found.
  const std::vector<std::string>& library_paths() const {
    return library_paths_;
  }
  // Size of its thread-local variables, rounded up: they lie that far below the
  // thread pointer. Known for a program only.
  std::uint64_t thread_locals_size() const { return thread_locals_size_; }

 private:
  struct FileSymbols {
    absl::string_view file;
    std::vector<const Symbol*> symbols;
  };
  class Search;

  explicit LinkedImage(ElfFile elf) : elf_(std::move(elf)) {}

  absl::Status ReadBuildId();
  void ReadSymbols();
  void ReadDynamicSymbols();
  void ReadRelocations();
  void ReadSlot(const Elf64_Rela& entry);
  void FindLibraries();
  // What the dynamic linker puts into these eight bytes, without the image's
  // base; nothing if that is not known.
  std::optional<std::uint64_t> PointerAt(std::uint64_t address) const;

  ElfFile elf_;
  std::string build_id_;
  bool is_shared_object_ = false;
  bool is_symbolic_ = false;   // its own definitions come first
  bool is_bound_now_ = false;  // when it is loaded
  absl::flat_hash_map<absl::string_view, const Symbol*> globals_;
  // Hidden ones, which are local once they have been linked.
  absl::flat_hash_map<absl::string_view, const Symbol*> hidden_;
  absl::flat_hash_set<absl::string_view> exported_;
  absl::flat_hash_map<absl::string_view, Slot> slots_;
  // Undefined names of which it uses several versions.
  absl::flat_hash_set<absl::string_view> ambiguous_;
  std::vector<FileSymbols> files_;
  absl::flat_hash_map<std::uint64_t, std::uint64_t> relative_;
  std::vector<std::unique_ptr<const ElfFile>> libraries_;
  absl::flat_hash_set<absl::string_view> in_libraries_;
  std::vector<std::string> library_paths_;
  std::uint64_t thread_locals_size_ = 0;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_LINKED_IMAGE_H_

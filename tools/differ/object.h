// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An object file as the pieces that two builds are compared by. A piece is
// called a unit: a function with its cold part, a variable, or what the
// compiler has put beside them without a name that means anything (literals,
// jump tables, tables of exceptions).
//
// That takes objects whose functions and variables are in sections of their own
// (-ffunction-sections -fdata-sections, which Instar's flags have). What shares
// a section is one unit, `is_compound`, which can stay as it is, not change.

#ifndef INSTAR_TOOLS_DIFFER_OBJECT_H_
#define INSTAR_TOOLS_DIFFER_OBJECT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/differ/elf_file.h"

namespace instar {
namespace differ {

class Object;

enum class UnitKind { kFunction, kVariable, kAnonymous };

// What comparison finds of a unit of the new build.
enum class UnitStatus { kNew, kSame, kChanged };

// An entry of .eh_frame: a CIE, or an FDE.
struct Frame {
  absl::string_view bytes;              // with the length before it
  std::vector<Relocation> relocations;  // offsets from the start of `bytes`
  std::size_t common = 0;               // of an FDE: index of its CIE
};

struct Unit {
  UnitKind kind;
  // Linkage name; of an anonymous one the section's.
  std::string name;
  const Object* object;
  std::vector<const Symbol*> symbols;  // in `parts`; none of them a section's
  // The section, and of a function that of its cold part, if it has one.
  std::vector<const Section*> parts;
  std::uint64_t entry = 0;  // of a function: offset in its section
  std::vector<Frame> frames;
  bool is_compound = false;

  // Set by the comparison, for a unit of the new build.
  const Unit* old = nullptr;
  UnitStatus status = UnitStatus::kNew;
  std::string why;  // it has changed
  // What has this name in the program is another thing: it goes into the module
  // as it is, under no name that others know.
  bool is_separate = false;

  const Section& main() const { return *parts.front(); }
  bool is_function() const { return kind == UnitKind::kFunction; }
  bool is_variable() const { return kind == UnitKind::kVariable; }
  bool is_anonymous() const { return kind == UnitKind::kAnonymous; }
  bool is_global() const;  // one of its names is known outside of the object
  // Nobody writes it, once the program has been loaded.
  bool is_constant() const;
  bool is_thread_local() const { return main().Has(SHF_TLS); }
  bool is_indirect() const;  // STT_GNU_IFUNC
  // Runs the initializers or destructors of the object's variables.
  bool is_initializer() const;
  // The name that other objects know it by; empty if there is none.
  absl::string_view global_name() const;
  // Of a function: thunks that lie in its section (those of COMDAT groups do).
  // One either jumps to the function, or is a copy of it with an entry of its
  // own.
  std::vector<const Symbol*> thunks() const;
};

class Object {
 public:
  // `name`: what messages call it.
  // Errors: as ElfFile::Read(); InvalidArgument, too, for one that was compiled
  // in a way that cannot be compared (LTO), with the flag that is in the way.
  static absl::StatusOr<std::unique_ptr<Object>> Read(const std::string& path,
                                                      const std::string& name);
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  const std::string& name() const { return name_; }
  const ElfFile& elf() const { return elf_; }
  const std::string& source() const { return source_; }  // of its STT_FILE
  const std::vector<std::unique_ptr<Unit>>& units() const { return units_; }
  const std::vector<Frame>& common_frames() const { return common_frames_; }

  // The unit that this section belongs to; null: none.
  Unit* UnitOf(std::uint32_t section) const {
    return section < unit_of_.size() ? unit_of_[section] : nullptr;
  }
  const Symbol& SymbolOf(const Relocation& relocation) const {
    return elf_.symbols()[relocation.symbol];
  }
  // The unit that a relocation leads to; null: none of this object.
  Unit* TargetOf(const Relocation& relocation) const {
    return UnitOf(SymbolOf(relocation).section);
  }
  // What runs at start besides _GLOBAL__sub_I_: functions in .init_array.
  const std::vector<const Unit*>& constructors() const { return constructors_; }
  // What runs at the end besides _GLOBAL__sub_D_: functions in .fini_array.
  const std::vector<const Unit*>& destructors() const { return destructors_; }

 private:
  explicit Object(ElfFile elf, std::string name)
      : elf_(std::move(elf)), name_(std::move(name)) {}

  absl::Status MakeUnits();
  void AddUnit(std::unique_ptr<Unit> unit);
  void GiveTablesToFunctions();
  // What sections of this name, and of others that begin with it, lead to.
  std::vector<const Unit*> FunctionsIn(absl::string_view prefix) const;
  absl::Status ReadFrames(const Section& section);

  ElfFile elf_;
  std::string name_;
  std::string source_;
  std::vector<std::unique_ptr<Unit>> units_;
  std::vector<Unit*> unit_of_;
  std::vector<Frame> common_frames_;
  std::vector<const Unit*> constructors_;
  std::vector<const Unit*> destructors_;
};

// How far from the start of its section's contents a reference to a function
// leads. Operands that are relative to the next instruction end four bytes
// after the field.
std::uint64_t OffsetInTarget(const Object& object,
                             const Relocation& relocation);

// Whether the field of a section of code is that of a call, or of a jump.
bool IsFieldOfCall(const Section& code, const Relocation& relocation);

// Where a section of a function has the address of its own entry, and no
// relocation, as the assembler has resolved it: fields of four bytes of
// lea start(%rip), %reg.
std::vector<std::uint64_t> OwnAddressesIn(const Unit& function,
                                          const Section& section);

// Bytes of the field of a relocation.
std::uint64_t FieldSize(std::uint32_t type);

// What the compiler leaves at the entry of a function for a jump, and what
// finishing a file makes of it, which no thread can stand in the middle of
// (tools/function_entries.py).
inline constexpr absl::string_view kOneByteNoOps("\x90\x90\x90\x90\x90", 5);
inline constexpr absl::string_view kNoOp("\x0f\x1f\x44\x00\x00", 5);

// Whether the compiler made up this name: it means nothing in another build.
bool IsMadeUp(absl::string_view name);

// Without the numbers by which compilers tell clones and statics apart:
// "hits.3" gives "hits", "f.constprop.0" gives "f.constprop".
std::string WithoutNumbers(absl::string_view name);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_OBJECT_H_

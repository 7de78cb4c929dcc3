// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What goes into the module: from each object of the new build its changed and
// new functions, its new variables, and what is private to them.
//
// References of that code to what runs already become imports, which the loader
// binds (manager/module/generated_module.h). So variables stay what they are,
// `&f` gives the address that it gave before, and a call of a changed function
// goes through its old entry to whichever version is the newest. Nothing that
// the module defines is known outside of it.

#ifndef INSTAR_TOOLS_DIFFER_PAYLOAD_H_
#define INSTAR_TOOLS_DIFFER_PAYLOAD_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "manager/module/generated_module.h"
#include "tools/differ/comparison.h"
#include "tools/differ/findings.h"
#include "tools/differ/linked_image.h"
#include "tools/differ/object.h"
#include "tools/differ/object_writer.h"
#include "tools/differ/update_state.h"

namespace instar {
namespace differ {

// Code of the old build that is not redefined, and has to be on no stack when
// the update is applied: functions without a new version, and what has been
// split off one (which the loader cannot tell in a program without symbols).
struct WatchedCode {
  Place place;
  std::string name;  // linkage name of the function
};

// What all payloads of a module have in common.
struct PayloadContext {
  const UpdateState* state;
  const Comparison* comparison;
  // Where units of the old build are.
  absl::flat_hash_map<const Unit*, Place> place_of;
  absl::flat_hash_map<const Unit*, std::vector<Place>> cold_parts_of;
  // Objects of the old build of which all units are in `place_of` that are
  // anywhere.
  std::set<const Object*> complete;
  // Names that the old build's objects define for each other, but not for other
  // images (STV_HIDDEN).
  absl::flat_hash_set<std::string> hidden_names;
  // Those of which the program has a wrapper: references to NAME may lead to
  // __wrap_NAME (the linker's --wrap).
  absl::flat_hash_set<std::string> wrapped_names;
  Findings* findings;
  // Functions of the old build that are called in another way in the new one.
  std::set<const Unit*> other_signatures;
  // Functions that need not be: linkage names, or qualified names.
  std::set<std::string> at_next_call;
  // Functions that know a class whose objects are converted, by linkage name:
  // these have to be.
  std::map<std::string, std::string> converts_under;

  // Inline functions and the like that change, and of which the program has the
  // code of an object that is compared: by linkage name.
  absl::flat_hash_set<std::string> changed_copies;

  // Set while payloads are made: which object brings a COMDAT group.
  std::map<std::string, const Object*> brought_by;
  std::vector<WatchedCode> watched;
};

// Whether the author says that the function may be on a stack when the update
// is applied, and when it is undone.
bool IsAtNextCall(const Unit& function, const PayloadContext& context);
// The same, or it has to be, since it is never left.
bool MayBeActive(const Unit& function, const PayloadContext& context);

// Has this function of the old build watched, with its cold part. One that is
// nowhere in the program is on no stack; what may be somewhere is refused.
void Watch(const Unit& function, PayloadContext& context);
// The same for the cold part alone of a function that is redefined, and is at
// `place`.
void WatchColdPart(const Unit& function, const Place& place,
                   PayloadContext& context);
// The same for those that are gone: one that is active would call what has
// changed as it was before. What may be active is left out, and instances of
// templates and inline functions, which other objects may have; so is what is
// not found.
void WatchGone(PayloadContext& context);

// A function of what runs that gets a new version, or a thunk in its section.
struct RedirectedFunction {
  const Unit* unit;  // of the new build
  Place entry;       // of the old one
  std::uint32_t flags;
  std::string name;         // linkage name
  absl::string_view known;  // the name that other objects know it by, or empty
  std::uint64_t new_entry;  // offset in the section of `unit`
};

// Where what runs has a thunk in a function's section, if it has an entry of
// its own there: what only jumps to the function gets nowhere else. `function`
// is the one that messages name. Refuses one that may be somewhere.
std::optional<Place> PlaceOfThunk(absl::string_view name, const Unit& function,
                                  PayloadContext& context);

class NameTable;

class Payload {
 public:
  // Decides what goes in. What cannot be done is refused in the findings.
  Payload(PayloadContext& context, const Object& object);
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;

  const Object& object() const { return object_; }
  const std::vector<RedirectedFunction>& redirected() const {
    return redirected_;
  }
  // Functions that the update calls (IsHook()).
  std::size_t hooks() const { return hooks_; }
  const std::set<std::string>& imported_names() const {
    return imported_names_;
  }

  // Writes it, with its part of the tables. `number` is the object's in
  // .instar.objects. To be called once.
  absl::Status Write(const std::string& path, std::uint64_t number);

 private:
  // What a reference becomes.
  struct Import {
    Place place;
    std::int64_t addend;
    std::string name;
    bool is_thread_local;
    // `place` is where a shared object keeps the address; `addend` is to be
    // added to that.
    const LinkedImage::Slot* slot = nullptr;
  };
  struct Target {
    std::optional<Import> import;  // or
    ObjectWriter::SymbolId symbol = 0;
    std::int64_t addend = 0;
  };
  struct Field {
    ObjectWriter::SectionId section;
    std::uint64_t offset;
    Import import;
    generated_module::ImportKind kind;
  };
  // Relocations of a section by which it reaches thread-local variables of its
  // image, all by one call.
  struct LocalDynamic {
    std::vector<const Relocation*> bases;
    std::vector<std::pair<const Relocation*, Target>> offsets;
  };

  void Choose();
  // Whether a function of the module has to be on no stack when the update is
  // undone, besides those that are redefined back.
  bool BlocksUndo(const Unit& function) const;
  void WriteImports(NameTable& names);
  void WriteRedefinitions(NameTable& names);
  void WriteUnits(NameTable& names, std::uint64_t number);
  std::uint32_t FlagsOf(const Unit& unit);
  // Of a function that is redirected with these flags: its thunks that have
  // entries of their own. Refuses one that the new build has not there.
  void RedirectThunks(const Unit& unit, std::uint32_t flags);
  std::optional<Place> PlaceOf(const Unit& unit) const;
  // Whether what was before is not there, but another object's definition of
  // the name, with other code: of a weak function, or of an inline one.
  bool IsOfOther(const Unit& unit) const;
  bool MayBeHidden(absl::string_view name) const;
  bool IsBroughtByOther(const Unit& unit) const;
  void Need(const Unit& unit);
  void CopySection(const Unit& unit, const Section& section);
  void CopyFrames();
  void CopyDebugInfo();
  std::size_t CopyFrame(ObjectWriter::SectionId section, const Frame& frame,
                        std::optional<std::size_t> common);
  void ImportOwnAddress(const Unit& unit, const Section& section);

  // The three kinds of what a relocation may lead to.
  std::optional<Target> Resolve(const Unit& owner, const Section& section,
                                const Relocation& relocation);
  std::optional<Target> ResolveName(const Unit& owner, const Section& section,
                                    const Relocation& relocation);
  std::optional<Target> ResolveLocal(const Unit& owner,
                                     const Relocation& relocation);
  // What a shared object refers to by a name that others know: through its own
  // slot, wherever the dynamic linker has bound it.
  std::optional<Target> ResolveBound(const Unit* defined,
                                     const Section& section,
                                     const Relocation& relocation);
  void CheckPreemption(absl::string_view name, Place place,
                       generated_module::ImportKind kind);
  std::optional<Target> Imported(const Unit& owner, const Unit* unit,
                                 Place place, std::int64_t addend,
                                 absl::string_view name,
                                 bool is_thread_local = false);
  Target Inside(const Relocation& relocation);
  ObjectWriter::SymbolId External(const Symbol& symbol, bool is_ours);
  bool MayBeLost(const Unit& owner, const Unit& unit);
  std::optional<std::uint64_t> OldOffset(const Unit& unit,
                                         std::uint64_t offset) const;

  void Relocate(const Unit& unit, const Section& section);
  void RelocateField(const Unit& unit, const Section& section,
                     const Relocation& relocation, const Target& target);
  void RelocateThroughSlot(const Section& section, const Relocation& relocation,
                           const Import& import);
  bool RelocateBound(const Section& section, const Relocation& relocation,
                     const Import& import);
  void RelocateLocalDynamic(const Unit& unit, const Section& section,
                            const LocalDynamic& found);
  bool RelocateThreadLocal(const Unit& unit, const Section& section,
                           const Relocation& relocation, const Import& import);
  std::int32_t ThreadOffset(const Import& import, std::int64_t addend) const;
  ObjectWriter::SymbolId Slot(const Import& import);
  ObjectWriter::SymbolId Stub(const Import& import);
  void Refuse(const Unit& owner, const std::string& why);

  PayloadContext& context_;
  const Object& object_;
  ObjectWriter writer_;
  std::vector<const Unit*> included_;
  absl::flat_hash_set<const Unit*> is_included_;
  std::deque<std::pair<const Unit*, const Section*>> queue_;
  absl::flat_hash_map<std::uint32_t, ObjectWriter::SectionId> section_of_;
  absl::flat_hash_map<std::uint32_t, ObjectWriter::SymbolId> symbol_of_;
  absl::flat_hash_map<std::string, ObjectWriter::SymbolId> external_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, ObjectWriter::SymbolId>
      slots_;
  std::map<std::string, ObjectWriter::SymbolId> stubs_;
  // Relocations that rewritten code has swallowed.
  std::set<const Relocation*> done_;
  std::vector<Field> fields_;
  // What the loader looks at, and writes nothing: names of the shared object
  // that another image may define in its place.
  std::map<std::string, std::pair<generated_module::ImportKind, Place>>
      checked_names_;
  std::vector<RedirectedFunction> redirected_;
  std::size_t hooks_ = 0;
  absl::flat_hash_set<const Unit*> is_redirected_;
  std::set<std::string> imported_names_;
};

// Appends zero-ended strings to a section .instar.names, and fills fields of
// tables with what refers to them.
class NameTable {
 public:
  explicit NameTable(ObjectWriter& writer);
  // The field of eight bytes at `offset` of `section` is the name's offset.
  void Refer(ObjectWriter::SectionId section, std::uint64_t offset,
             const std::string& name);

 private:
  ObjectWriter& writer_;
  ObjectWriter::SectionId section_;
  std::map<std::string, std::uint64_t> known_;
};

// A section that is in the file and is not loaded.
ObjectWriter::SectionId AddTable(ObjectWriter& writer, const char* name);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_PAYLOAD_H_

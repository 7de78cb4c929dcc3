// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/payload.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/signature_judge.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;
using generated_module::ImportKind;

constexpr std::uint32_t kCode4Gotpcrelx = 43;  // not in Debian 12's <elf.h>

// What the compiler leaves at the entry of a function for a jump, and what no
// thread can stand in the middle of (tools/function_entries.py).
constexpr absl::string_view kOneByteNoOps("\x90\x90\x90\x90\x90", 5);
constexpr absl::string_view kNoOp("\x0f\x1f\x44\x00\x00", 5);

bool IsPolymorphicData(absl::string_view name) {
  return absl::StartsWith(name, "_ZTV") || absl::StartsWith(name, "_ZTT") ||
         absl::StartsWith(name, "_ZTC") || absl::StartsWith(name, "_ZTI") ||
         absl::StartsWith(name, "_ZTS");
}

// An existing constant of which the module gets a copy, since its value is
// another one.
bool IsReplacedConstant(const Unit& unit) {
  return unit.is_variable() && unit.is_constant() &&
         unit.status == UnitStatus::kChanged && !IsPolymorphicData(unit.name);
}

bool IsOfTheLinker(absl::string_view name) {
  return name == "_GLOBAL_OFFSET_TABLE_" || name == "__dso_handle" ||
         name == "__tls_get_addr";
}

void Put32(std::string& bytes, std::uint64_t at, std::int32_t value) {
  std::memcpy(&bytes[at], &value, sizeof(value));
}

}  // namespace

ObjectWriter::SectionId AddTable(ObjectWriter& writer, const char* name) {
  ObjectWriter::NewSection section;
  section.name = name;
  section.type = SHT_PROGBITS;
  section.flags = 0;
  section.alignment = 8;
  return writer.AddSection(std::move(section));
}

NameTable::NameTable(ObjectWriter& writer)
    : writer_(writer),
      section_(AddTable(writer, generated_module::kNamesSection)) {}

void NameTable::Refer(ObjectWriter::SectionId section, std::uint64_t offset,
                      const std::string& name) {
  std::string& bytes = writer_.BytesOf(section_);
  const auto inserted = known_.emplace(name, bytes.size());
  if (inserted.second) bytes += name + '\0';
  // A section that is not loaded begins at address 0.
  writer_.AddRelocation(section,
                        {offset, R_X86_64_64, writer_.SectionSymbol(section_),
                         static_cast<std::int64_t>(inserted.first->second)});
}

Payload::Payload(PayloadContext& context, const Object& object)
    : context_(context), object_(object), writer_(object.name()) {
  Choose();
  while (!queue_.empty()) {
    const auto next = queue_.front();
    queue_.pop_front();
    Relocate(*next.first, *next.second);
  }
}

void Payload::Refuse(const Unit& owner, const std::string& why) {
  context_.findings->Refuse(object_.name(),
                            absl::StrCat(Demangle(owner.name), " ", why));
}

// --- What goes in ---

void Payload::Choose() {
  for (const auto& unit : object_.units()) {
    if (unit->is_function() && !unit->is_initializer()) {
      if (unit->status == UnitStatus::kChanged) {
        if (IsBroughtByOther(*unit)) continue;
        if (unit->is_indirect()) {
          Refuse(*unit,
                 "is chosen when the program starts (IFUNC), and how has "
                 "changed: that has no effect any more");
          continue;
        }
        const std::optional<Place> place = PlaceOf(*unit);
        if (place) {
          redirected_.push_back(
              {unit.get(),
               {place->image, place->address + unit->old->entry},
               FlagsOf(*unit)});
          is_redirected_.insert(unit.get());
          Need(*unit);
        } else if (unit->main().group.empty()) {
          if (context_.complete.count(unit->old->object) == 0) {
            Refuse(*unit,
                   "has changed, and cannot be found in the program: give the "
                   "program with its symbols");
          }
          Need(*unit);
        }
      } else if (unit->status == UnitStatus::kNew &&
                 unit->main().group.empty() && !unit->is_separate) {
        Need(*unit);
      }
    } else if (unit->is_variable() && unit->status == UnitStatus::kNew &&
               unit->main().group.empty() && !unit->is_separate &&
               !IsPolymorphicData(unit->name)) {
      Need(*unit);
    } else if (IsReplacedConstant(*unit) && unit->is_global() &&
               unit->main().group.empty()) {
      Need(*unit);
    }
  }
}

// When the entry may be changed: as a rule while nobody is inside, so that no
// old caller calls new functions that were made for each other.
std::uint32_t Payload::FlagsOf(const Unit& unit) {
  const bool is_never_left = IsNeverLeft(*unit.old);
  const bool is_asked_for =
      context_.at_next_call.count(unit.name) != 0 ||
      context_.at_next_call.count(
          code_internal::QualifiedName(Demangle(unit.name))) != 0;
  if (!is_never_left && !is_asked_for) {
    return generated_module::kMustBeQuiescent;
  }
  context_.findings->Note(
      object_.name(),
      absl::StrCat(Demangle(unit.name),
                   is_never_left ? " is never left" : " may be running",
                   ": its new version takes effect at its next call"));
  return 0;
}

bool Payload::MayBeHidden(absl::string_view name) const {
  return context_.hidden_names.contains(name);
}

// Where what this unit of the new build was before is; nothing if it was
// nowhere.
std::optional<Place> Payload::PlaceOf(const Unit& unit) const {
  if (unit.is_separate) return std::nullopt;
  if (unit.old != nullptr) {
    const auto found = context_.place_of.find(unit.old);
    if (found != context_.place_of.end()) return found->second;
  }
  // A COMDAT group, of which another object may have brought it.
  if (unit.main().group.empty() && unit.old == nullptr) return std::nullopt;
  for (const Symbol* symbol : unit.symbols) {
    if (symbol->is_local() || symbol->section != unit.main().index) continue;
    const auto place =
        context_.state->Find(symbol->name, MayBeHidden(symbol->name));
    if (place) {
      // The start of the section, as of all units: the same in both builds for
      // what has one symbol; of thunks see OldOffset().
      const std::uint64_t offset =
          unit.old == nullptr ? symbol->value : unit.old->entry;
      return Place{place->image, place->address - offset};
    }
  }
  return std::nullopt;
}

bool Payload::IsBroughtByOther(const Unit& unit) const {
  if (unit.main().group.empty()) return false;
  const auto found = context_.brought_by.find(std::string(unit.main().group));
  return found != context_.brought_by.end() && found->second != &object_;
}

void Payload::Need(const Unit& unit) {
  if (!is_included_.insert(&unit).second) return;
  included_.push_back(&unit);
  if (!unit.main().group.empty() && !unit.is_separate) {
    context_.brought_by.emplace(std::string(unit.main().group), &object_);
  }
  if (unit.is_anonymous() && unit.main().Has(SHF_WRITE) &&
      !unit.is_constant() && !absl::StartsWith(unit.name, ".data.rel.")) {
    Refuse(unit, "holds variables without names, whose values the program has");
  }
  for (const Section* part : unit.parts) {
    CopySection(unit, *part);
    queue_.emplace_back(&unit, part);
  }
  // What replaces a function of the program is known to nobody: references by
  // name go to the old entry, and so to whatever version is the newest.
  const bool is_known = !is_redirected_.contains(&unit) && !unit.is_separate;
  for (const Symbol* symbol : unit.symbols) {
    ObjectWriter::NewSymbol copy = {};
    copy.name = std::string(symbol->name);
    copy.type = symbol->type;
    copy.section = section_of_.at(symbol->section);
    copy.value = symbol->value;
    copy.size = symbol->size;
    copy.binding = STB_LOCAL;
    if (is_known && !symbol->is_local()) {
      copy.binding = symbol->binding == STB_GLOBAL ? STB_GLOBAL : STB_WEAK;
      copy.visibility = STV_HIDDEN;
    }
    symbol_of_[symbol->index] = writer_.AddSymbol(std::move(copy));
  }
  // Its tables of exceptions.
  for (const Frame& frame : unit.frames) {
    for (const Relocation& relocation : frame.relocations) {
      const Unit* target = object_.TargetOf(relocation);
      if (target != nullptr && target->is_anonymous()) Need(*target);
    }
    for (const Relocation& relocation :
         object_.common_frames()[frame.common].relocations) {
      const Unit* target = object_.TargetOf(relocation);
      if (target != nullptr && target->is_anonymous()) Need(*target);
    }
  }
}

void Payload::CopySection(const Unit& unit, const Section& section) {
  if (section_of_.contains(section.index)) return;
  constexpr std::uint64_t kShfGnuRetain = 1 << 21;
  ObjectWriter::NewSection copy;
  copy.name = std::string(section.name);
  copy.type = section.type;
  copy.flags = section.flags &
               ~std::uint64_t{SHF_GROUP | SHF_LINK_ORDER | kShfGnuRetain};
  copy.alignment = section.alignment;
  copy.entry_size = section.entry_size;
  copy.bytes = std::string(section.bytes);
  copy.size_without_bytes = section.size;
  if (section.Has(SHF_EXECINSTR)) {
    for (const Symbol* symbol : unit.symbols) {
      if (symbol->section == section.index &&
          copy.bytes.compare(
              std::min<std::size_t>(symbol->value, copy.bytes.size()),
              kOneByteNoOps.size(), kOneByteNoOps.data(),
              kOneByteNoOps.size()) == 0) {
        copy.bytes.replace(symbol->value, kNoOp.size(), kNoOp.data(),
                           kNoOp.size());
      }
    }
  }
  section_of_[section.index] = writer_.AddSection(std::move(copy));
  ImportOwnAddress(unit, section);
}

// A static function that takes its own address gets that of the old entry, as
// all others do. The assembler has resolved that reference, so that there is no
// relocation: lea start(%rip), %reg, with a displacement to the very start.
void Payload::ImportOwnAddress(const Unit& unit, const Section& section) {
  if (!is_redirected_.contains(&unit) || section.index != unit.main().index) {
    return;
  }
  const auto place = PlaceOf(unit);
  const absl::string_view code = section.bytes;
  for (std::uint64_t at = 3; at + 4 <= code.size(); ++at) {
    const auto byte = [&](std::uint64_t i) {
      return static_cast<unsigned char>(code[i]);
    };
    const bool is_lea = byte(at - 2) == 0x8d && (byte(at - 1) & 0xc7) == 5 &&
                        (byte(at - 3) & 0xfb) == 0x48;
    const std::int64_t end = static_cast<std::int64_t>(at) + 4;
    if (!is_lea || *ReadAt<std::int32_t>(code, at) !=
                       static_cast<std::int64_t>(unit.entry) - end) {
      continue;
    }
    const bool has_relocation = std::any_of(
        section.relocations.begin(), section.relocations.end(),
        [&](const Relocation& relocation) { return relocation.offset == at; });
    if (has_relocation) continue;
    const Import import = {
        {place->image, place->address + unit.old->entry}, -4, unit.name, false};
    fields_.push_back(
        {section_of_.at(section.index), at, import, ImportKind::kRelative32});
  }
}

// --- What references become ---

std::optional<Payload::Target> Payload::Resolve(const Unit& owner,
                                                const Relocation& relocation) {
  const Symbol& symbol = object_.SymbolOf(relocation);
  if (symbol.section == kAbsolute) {
    ObjectWriter::NewSymbol copy = {};
    copy.name = std::string(symbol.name);
    copy.binding = STB_LOCAL;
    copy.value = symbol.value;
    copy.is_absolute = true;
    Target target;
    target.symbol = writer_.AddSymbol(std::move(copy));
    target.addend = relocation.addend;
    return target;
  }
  const Unit* unit = object_.UnitOf(symbol.section);
  if (unit != nullptr && unit->is_anonymous()) {
    Need(*unit);
    return Inside(relocation);
  }
  return symbol.is_local() && symbol.section != kUndefined
             ? ResolveLocal(owner, relocation)
             : ResolveName(owner, relocation);
}

std::optional<Payload::Target> Payload::ResolveName(
    const Unit& owner, const Relocation& relocation) {
  const Symbol& symbol = object_.SymbolOf(relocation);
  const Unit* unit = object_.UnitOf(symbol.section);
  const auto external = [&](bool is_ours) {
    Target target;
    target.symbol = External(symbol, is_ours);
    target.addend = relocation.addend;
    return target;
  };
  if (IsOfTheLinker(symbol.name)) return external(false);
  if (unit != nullptr &&
      (unit->is_separate ||
       (is_included_.contains(unit) && unit->status == UnitStatus::kNew))) {
    Need(*unit);
    return Inside(relocation);
  }
  // A new constant of the name of an old one.
  const Unit* defined =
      unit != nullptr ? unit : context_.comparison->DefinedByNew(symbol.name);
  if (defined != nullptr && IsReplacedConstant(*defined)) {
    if (unit == nullptr || IsBroughtByOther(*unit)) return external(true);
    Need(*unit);
    return Inside(relocation);
  }
  // What runs has it, here or from another object.
  if (defined != nullptr) {
    const std::optional<Place> place = PlaceOf(*defined);
    if (place) {
      const std::uint64_t offset =
          defined->is_function()
              ? (defined->old != nullptr ? defined->old->entry : defined->entry)
              : 0;
      // A thunk has a name of its own.
      for (const Symbol* name : defined->symbols) {
        if (name->name != symbol.name || !defined->is_function() ||
            name->value == defined->entry) {
          continue;
        }
        const auto thunk =
            context_.state->Find(symbol.name, MayBeHidden(symbol.name));
        if (!thunk) {
          Refuse(owner, absl::StrCat("refers to ", Demangle(symbol.name),
                                     ", which the program does not have"));
          return std::nullopt;
        }
        return Imported(owner, defined, *thunk, relocation.addend, symbol.name);
      }
      const std::uint64_t in_section =
          defined->is_function() ? offset : symbol.value * (unit != nullptr);
      return Imported(owner, defined,
                      {place->image, place->address + in_section},
                      relocation.addend, symbol.name);
    }
  }
  if (defined == nullptr || unit == nullptr ||
      defined->status != UnitStatus::kNew || !defined->main().group.empty()) {
    const auto place =
        defined != nullptr && unit == nullptr
            ? std::nullopt
            : context_.state->Find(symbol.name, MayBeHidden(symbol.name));
    if (place) {
      return Imported(owner, defined, *place, relocation.addend, symbol.name);
    }
  }
  if (defined != nullptr && unit == nullptr) return external(true);
  if (unit != nullptr) {
    if (unit->old != nullptr &&
        context_.complete.count(unit->old->object) == 0 &&
        unit->main().group.empty()) {
      Refuse(owner, absl::StrCat("uses ", Demangle(unit->name),
                                 ", which cannot be found in the program: give "
                                 "the program with its symbols"));
      return std::nullopt;
    }
    if (IsBroughtByOther(*unit)) return external(true);
    Need(*unit);
    return Inside(relocation);
  }
  if (context_.state->target().IsInLibrary(symbol.name) ||
      symbol.binding == STB_WEAK) {
    return external(false);
  }
  Refuse(owner, absl::StrCat("uses ", Demangle(symbol.name),
                             ", which neither the program has nor its "
                             "libraries nor the new objects: give the object "
                             "that defines it"));
  return std::nullopt;
}

std::optional<Payload::Target> Payload::ResolveLocal(
    const Unit& owner, const Relocation& relocation) {
  const Symbol& symbol = object_.SymbolOf(relocation);
  const Unit* unit = object_.UnitOf(symbol.section);
  if (unit == nullptr) {
    Refuse(owner, absl::StrCat("refers to ",
                               object_.elf().sections()[symbol.section].name,
                               ", which is not known to be code or data"));
    return std::nullopt;
  }
  const std::optional<Place> place = PlaceOf(*unit);
  if (unit->is_function()) {
    const std::uint64_t offset = OffsetInTarget(object_, relocation);
    const bool is_named = std::any_of(
        unit->symbols.begin(), unit->symbols.end(), [&](const Symbol* name) {
          return name->section == symbol.section && name->value == offset;
        });
    if (!is_named || symbol.section != unit->main().index) {
      // Its inside: a label, or its cold part.
      if (!is_included_.contains(unit)) {
        Refuse(owner,
               absl::StrCat("refers to the inside of ", Demangle(unit->name)));
        return std::nullopt;
      }
      return Inside(relocation);
    }
    if (place) {
      const auto old_offset = OldOffset(*unit, offset);
      if (!old_offset) {
        Refuse(owner,
               absl::StrCat("refers to a new thunk of ", Demangle(unit->name)));
        return std::nullopt;
      }
      // Without the way from the symbol to the entry.
      const std::int64_t addend =
          relocation.type == R_X86_64_PC32 || relocation.type == R_X86_64_PLT32
              ? -4
              : 0;
      return Imported(owner, unit, {place->image, place->address + *old_offset},
                      addend, unit->name);
    }
  } else {
    if (IsReplacedConstant(*unit)) {
      Need(*unit);
      return Inside(relocation);
    }
    if (place) {
      return Imported(owner, unit,
                      {place->image, place->address + symbol.value},
                      relocation.addend, unit->name);
    }
  }
  if (unit->old != nullptr && context_.complete.count(unit->old->object) == 0) {
    Refuse(owner, absl::StrCat("uses ", Demangle(unit->name),
                               ", which cannot be found in the program: give "
                               "the program with its symbols"));
    return std::nullopt;
  }
  Need(*unit);
  return Inside(relocation);
}

// Where in the old unit is what a name of the new one stands for at `offset`.
std::optional<std::uint64_t> Payload::OldOffset(const Unit& unit,
                                                std::uint64_t offset) const {
  const Unit& old_unit = unit.old != nullptr ? *unit.old : unit;
  if (offset == unit.entry) return old_unit.entry;
  for (const Symbol* name : unit.symbols) {
    if (name->section != unit.main().index || name->value != offset) continue;
    for (const Symbol* old_name : old_unit.symbols) {
      if (old_name->name == name->name) return old_name->value;
    }
  }
  return std::nullopt;
}

std::optional<Payload::Target> Payload::Imported(const Unit& owner,
                                                 const Unit* unit, Place place,
                                                 std::int64_t addend,
                                                 absl::string_view name) {
  const bool is_thread_local = unit != nullptr && unit->is_thread_local();
  if (unit != nullptr && unit->is_indirect()) {
    Refuse(owner, absl::StrCat("refers to ", Demangle(name),
                               ", which is chosen when the program starts "
                               "(IFUNC): give it a caller that is a function, "
                               "and use that"));
    return std::nullopt;
  }
  if (is_thread_local && place.image != 0) {
    Refuse(owner,
           absl::StrCat("uses ", Demangle(name),
                        ", a thread_local variable that an earlier update has "
                        "brought, whose place is not known. Build one update "
                        "of both"));
    return std::nullopt;
  }
  if (is_thread_local && context_.state->target().is_shared_object()) {
    Refuse(owner, absl::StrCat("uses ", Demangle(name),
                               ", a thread_local variable of a shared object, "
                               "whose place is not known"));
    return std::nullopt;
  }
  imported_names_.insert(std::string(name));
  Target target;
  target.import = Import{place, addend, std::string(name), is_thread_local};
  return target;
}

// What goes along in this payload.
Payload::Target Payload::Inside(const Relocation& relocation) {
  const Symbol& symbol = object_.SymbolOf(relocation);
  Target target;
  target.addend = relocation.addend;
  if (symbol.type == STT_SECTION) {
    target.symbol = writer_.SectionSymbol(section_of_.at(symbol.section));
    return target;
  }
  const auto known = symbol_of_.find(symbol.index);
  if (known != symbol_of_.end()) {
    target.symbol = known->second;
    return target;
  }
  ObjectWriter::NewSymbol copy = {};
  copy.name = std::string(symbol.name);
  copy.binding = STB_LOCAL;
  copy.type = symbol.type;
  copy.section = section_of_.at(symbol.section);
  copy.value = symbol.value;
  copy.size = symbol.size;
  target.symbol = symbol_of_[symbol.index] = writer_.AddSymbol(std::move(copy));
  return target;
}

// A name that the linker finds: in another payload, or in a library.
ObjectWriter::SymbolId Payload::External(const Symbol& symbol, bool is_ours) {
  const auto known = external_.find(std::string(symbol.name));
  if (known != external_.end()) return known->second;
  ObjectWriter::NewSymbol undefined = {};
  undefined.name = std::string(symbol.name);
  undefined.binding =
      symbol.binding == STB_WEAK && !is_ours && symbol.section == kUndefined
          ? STB_WEAK
          : STB_GLOBAL;
  undefined.type = symbol.type == STT_TLS ? STT_TLS : STT_NOTYPE;
  undefined.visibility = is_ours ? STV_HIDDEN : STV_DEFAULT;
  return external_[std::string(symbol.name)] =
             writer_.AddSymbol(std::move(undefined));
}

// --- Writing references ---

void Payload::Relocate(const Unit& unit, const Section& section) {
  LocalDynamic local_dynamic;
  for (const Relocation& relocation : section.relocations) {
    if (done_.count(&relocation) != 0) continue;
    if (relocation.type == R_X86_64_TLSLD) {
      local_dynamic.bases.push_back(&relocation);
      continue;
    }
    if (relocation.type == R_X86_64_NONE) continue;
    const std::optional<Target> target = Resolve(unit, relocation);
    if (!target) continue;
    if (relocation.type == R_X86_64_DTPOFF32) {
      local_dynamic.offsets.emplace_back(&relocation, *target);
      continue;
    }
    RelocateField(unit, section, relocation, *target);
  }
  RelocateLocalDynamic(unit, section, local_dynamic);
}

void Payload::RelocateField(const Unit& unit, const Section& section,
                            const Relocation& relocation,
                            const Target& target) {
  const ObjectWriter::SectionId id = section_of_.at(section.index);
  switch (relocation.type) {
    case R_X86_64_32:
    case R_X86_64_32S:
    case R_X86_64_PC64:
    case R_X86_64_GOTOFF64:
    case R_X86_64_GOTPC64:
    case R_X86_64_GOTPC32:
      Refuse(unit,
             "was compiled for a fixed address, or for the large model: "
             "compile both builds with -fPIC");
      return;
    default:
      break;
  }
  if (!target.import) {
    if (relocation.type == R_X86_64_TPOFF32) {
      Refuse(unit,
             "uses a new thread_local variable as a program may, and a "
             "module may not: compile both builds with -fPIC");
      return;
    }
    writer_.AddRelocation(
        id, {relocation.offset, relocation.type, target.symbol, target.addend});
    return;
  }
  const Import& import = *target.import;
  if (import.is_thread_local) {
    if (!RelocateThreadLocal(unit, section, relocation, import)) {
      Refuse(unit, absl::StrCat("uses the thread_local variable ",
                                Demangle(import.name), " in a way (relocation ",
                                relocation.type, ") that is not known"));
    }
    return;
  }
  switch (relocation.type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
      fields_.push_back(
          {id, relocation.offset, import, ImportKind::kRelative32});
      return;
    case R_X86_64_64:
      fields_.push_back(
          {id, relocation.offset, import, ImportKind::kAbsolute64});
      return;
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
    case kCode4Gotpcrelx:
      RelocateThroughSlot(section, relocation, import);
      return;
    default:
      Refuse(unit, absl::StrCat("refers to ", Demangle(import.name),
                                " in a way (relocation ", relocation.type,
                                ") that is not known"));
  }
}

// The instruction loads the address from a slot of the module's own, in place
// of one in the table of offsets, which only names have.
void Payload::RelocateThroughSlot(const Section& section,
                                  const Relocation& relocation,
                                  const Import& import) {
  writer_.AddRelocation(
      section_of_.at(section.index),
      {relocation.offset, R_X86_64_PC32, Slot(import), relocation.addend});
}

ObjectWriter::SymbolId Payload::Slot(const Import& import) {
  const auto key =
      std::make_pair(import.is_thread_local ? 0xffff'ffff : import.place.image,
                     import.place.address);
  const auto known = slots_.find(key);
  if (known != slots_.end()) return known->second;
  ObjectWriter::NewSection section;
  section.name = ".data.rel.ro.instar_slot";
  section.type = SHT_PROGBITS;
  section.flags = SHF_ALLOC | SHF_WRITE;
  section.alignment = 8;
  const std::int64_t value =
      import.is_thread_local ? ThreadOffset(import, 0) : 0;
  Append(section.bytes, value);
  const ObjectWriter::SectionId id = writer_.AddSection(std::move(section));
  if (!import.is_thread_local) {
    Import address = import;
    address.addend = 0;
    fields_.push_back({id, 0, address, ImportKind::kAbsolute64});
  }
  return slots_[key] = writer_.SectionSymbol(id);
}

// From the thread pointer (x86-64 psABI, "ELF Handling For Thread-Local
// Storage", variant II).
std::int32_t Payload::ThreadOffset(const Import& import,
                                   std::int64_t addend) const {
  return static_cast<std::int32_t>(
      static_cast<std::int64_t>(import.place.address) + addend -
      static_cast<std::int64_t>(context_.state->target().thread_locals_size()));
}

// A thread-local variable of the program lies at a known distance from the
// thread pointer, also for code that was compiled to ask for its address. These
// are the replacements that a linker makes, too. False: an unknown instruction.
bool Payload::RelocateThreadLocal(const Unit& /*unit*/, const Section& section,
                                  const Relocation& relocation,
                                  const Import& import) {
  const ObjectWriter::SectionId id = section_of_.at(section.index);
  std::string& code = writer_.BytesOf(id);
  const std::uint64_t at = relocation.offset;
  const auto has = [&](std::uint64_t begin, absl::string_view bytes) {
    return begin <= code.size() &&
           code.compare(begin, bytes.size(), bytes.data(), bytes.size()) == 0;
  };
  switch (relocation.type) {
    case R_X86_64_TLSGD: {
      // data16 lea x@tlsgd(%rip), %rdi; data16 data16 rex64 call
      // __tls_get_addr
      if (at < 4 || !has(at - 4, absl::string_view("\x66\x48\x8d\x3d", 4)) ||
          !(has(at + 4, absl::string_view("\x66\x66\x48\xe8", 4)) ||
            has(at + 4, absl::string_view("\x66\x48\xff\x15", 4)))) {
        return false;
      }
      // mov %fs:0, %rax; lea offset(%rax), %rax
      code.replace(at - 4, 12,
                   std::string("\x64\x48\x8b\x04\x25\0\0\0\0\x48\x8d\x80", 12));
      Put32(code, at + 8, ThreadOffset(import, 0));
      for (const Relocation& other : section.relocations) {
        if (other.offset == at + 8) done_.insert(&other);  // of the call
      }
      return true;
    }
    case R_X86_64_GOTTPOFF:
      RelocateThroughSlot(section, relocation, import);
      return true;
    case R_X86_64_GOTPC32_TLSDESC:
      // lea x@tlsdesc(%rip), %rax becomes mov $offset, %rax
      if (at < 3 || !has(at - 3, absl::string_view("\x48\x8d\x05", 3))) {
        return false;
      }
      code.replace(at - 3, 3, "\x48\xc7\xc0");
      Put32(code, at, ThreadOffset(import, 0));
      return true;
    case R_X86_64_TLSDESC_CALL:
      if (!has(at, absl::string_view("\xff\x10", 2))) return false;
      code.replace(at, 2, "\x66\x90");
      return true;
    case R_X86_64_TPOFF32:
      Put32(code, at, ThreadOffset(import, import.addend));
      return true;
    default:
      return false;
  }
}

// One call gives the start of the image's thread-local variables, and offsets
// lead to each. So they are all of the program, or all of the module.
void Payload::RelocateLocalDynamic(const Unit& unit, const Section& section,
                                   const LocalDynamic& found) {
  const ObjectWriter::SectionId id = section_of_.at(section.index);
  std::string imported;
  bool has_own = false;
  std::optional<ObjectWriter::SymbolId> own;
  for (const auto& offset : found.offsets) {
    if (offset.second.import) {
      imported = offset.second.import->name;
    } else {
      has_own = true;
      own = offset.second.symbol;
    }
  }
  if (!imported.empty() && has_own) {
    Refuse(unit, absl::StrCat("uses thread_local variables of the program (",
                              Demangle(imported),
                              ") and new ones by one call. Use the new ones in "
                              "a function of their own"));
    return;
  }
  std::string& code = writer_.BytesOf(id);
  if (imported.empty()) {
    for (const Relocation* base : found.bases) {
      const ObjectWriter::SymbolId symbol =
          own ? *own : External(object_.SymbolOf(*base), false);
      writer_.AddRelocation(id,
                            {base->offset, base->type, symbol, base->addend});
    }
    for (const auto& offset : found.offsets) {
      writer_.AddRelocation(id, {offset.first->offset, offset.first->type,
                                 offset.second.symbol, offset.second.addend});
    }
    return;
  }
  for (const Relocation* base : found.bases) {
    // lea x@tlsld(%rip), %rdi; call __tls_get_addr, directly or through a table
    const std::uint64_t at = base->offset;
    const bool is_direct = code.compare(at + 4, 1, "\xe8") == 0;
    const bool is_indirect = code.compare(at + 4, 2, "\xff\x15") == 0;
    if (at < 3 || code.compare(at - 3, 3, "\x48\x8d\x3d") != 0 ||
        (!is_direct && !is_indirect)) {
      Refuse(unit,
             "reaches its thread_local variables in a way that is not "
             "known");
      return;
    }
    // mov %fs:0, %rax, with prefixes that fill the room
    std::string replacement(is_indirect ? 4 : 3, '\x66');
    replacement.append("\x64\x48\x8b\x04\x25\0\0\0\0", 9);
    code.replace(at - 3, replacement.size(), replacement);
    const std::uint64_t call = at + (is_indirect ? 6 : 5);
    writer_.DropRelocation(id, call);
    fields_.erase(std::remove_if(fields_.begin(), fields_.end(),
                                 [&](const Field& field) {
                                   return field.section == id &&
                                          field.offset == call;
                                 }),
                  fields_.end());
  }
  for (const auto& offset : found.offsets) {
    Put32(code, offset.first->offset,
          ThreadOffset(*offset.second.import, offset.second.import->addend));
  }
}

// --- Writing ---

void Payload::CopyFrames() {
  std::optional<ObjectWriter::SectionId> section;
  absl::flat_hash_map<std::size_t, std::size_t> common_at;
  // They may need more units, which have frames again.
  for (std::size_t i = 0; i < included_.size(); ++i) {
    const Unit& unit = *included_[i];
    for (const Frame& frame : unit.frames) {
      if (!section) {
        ObjectWriter::NewSection frames;
        frames.name = ".eh_frame";
        frames.type = SHT_PROGBITS;
        frames.flags = SHF_ALLOC;
        frames.alignment = 8;
        section = writer_.AddSection(std::move(frames));
      }
      auto common = common_at.find(frame.common);
      if (common == common_at.end()) {
        const std::size_t at = CopyFrame(
            *section, object_.common_frames()[frame.common], std::nullopt);
        common = common_at.emplace(frame.common, at).first;
      }
      CopyFrame(*section, frame, common->second);
    }
  }
}

std::size_t Payload::CopyFrame(ObjectWriter::SectionId section,
                               const Frame& frame,
                               std::optional<std::size_t> common) {
  std::string& bytes = writer_.BytesOf(section);
  const std::size_t at = bytes.size();
  bytes.append(frame.bytes.data(), frame.bytes.size());
  if (common) {
    Put32(bytes, at + 4, static_cast<std::int32_t>(at + 4 - *common));
  }
  for (const Relocation& relocation : frame.relocations) {
    const Symbol& symbol = object_.SymbolOf(relocation);
    Target target;
    if (object_.UnitOf(symbol.section) != nullptr) {
      target = Inside(relocation);
    } else {
      target.symbol = External(symbol, false);
      target.addend = relocation.addend;
    }
    writer_.AddRelocation(section, {at + relocation.offset, relocation.type,
                                    target.symbol, target.addend});
  }
  return at;
}

absl::Status Payload::Write(const std::string& path, std::uint64_t number) {
  CopyFrames();
  NameTable names(writer_);
  const ObjectWriter::SectionId imports =
      AddTable(writer_, generated_module::kImportsSection);
  for (const Field& field : fields_) {
    generated_module::Import record = {};
    record.target = field.import.place.address;
    record.addend = field.import.addend;
    record.kind = field.kind;
    record.image = field.import.place.image;
    const std::uint64_t at = writer_.BytesOf(imports).size();
    Append(writer_.BytesOf(imports), record);
    writer_.AddRelocation(
        imports, {at + offsetof(generated_module::Import, place), R_X86_64_64,
                  writer_.SectionSymbol(field.section),
                  static_cast<std::int64_t>(field.offset)});
    names.Refer(imports, at + offsetof(generated_module::Import, name),
                field.import.name);
  }
  const ObjectWriter::SectionId redefinitions =
      AddTable(writer_, generated_module::kRedefinitionsSection);
  for (const RedirectedFunction& function : redirected_) {
    generated_module::Redefinition record = {};
    record.old_entry = function.entry.address;
    record.image = function.entry.image;
    record.flags = function.flags;
    const std::uint64_t at = writer_.BytesOf(redefinitions).size();
    Append(writer_.BytesOf(redefinitions), record);
    writer_.AddRelocation(
        redefinitions,
        {at + offsetof(generated_module::Redefinition, new_entry), R_X86_64_64,
         writer_.SectionSymbol(section_of_.at(function.unit->main().index)),
         static_cast<std::int64_t>(function.unit->entry)});
    names.Refer(redefinitions,
                at + offsetof(generated_module::Redefinition, name),
                function.unit->name);
  }
  for (const Unit* unit : context_.watched) {
    const auto place = context_.place_of.find(unit);
    if (unit->object->name() != object_.name() ||
        place == context_.place_of.end()) {
      continue;
    }
    generated_module::Redefinition record = {};
    record.old_entry = place->second.address + unit->entry;
    record.image = place->second.image;
    record.flags = generated_module::kOnlyWatched;
    const std::uint64_t at = writer_.BytesOf(redefinitions).size();
    Append(writer_.BytesOf(redefinitions), record);
    names.Refer(redefinitions,
                at + offsetof(generated_module::Redefinition, name),
                unit->name);
  }
  const ObjectWriter::SectionId units = AddTable(writer_, kUnitsSection);
  for (const auto& unit : object_.units()) {
    if (unit->is_anonymous()) continue;
    const std::optional<Place> place = PlaceOf(*unit);
    const bool is_here = is_included_.contains(unit.get()) &&
                         (!place || IsReplacedConstant(*unit));
    if (!is_here && !place) continue;
    UnitRecord record = {};
    record.object = number;
    record.image = is_here ? kThisModule : place->image;
    // So that the entry is where it was, wherever the new section has it.
    record.address = is_here ? 0 : place->address;
    if (!is_here && unit->is_function() && unit->old != nullptr) {
      record.address += unit->old->entry - unit->entry;
    }
    record.is_global = unit->is_global() && !unit->is_separate ? 1 : 0;
    const std::uint64_t at = writer_.BytesOf(units).size();
    Append(writer_.BytesOf(units), record);
    names.Refer(units, at + offsetof(UnitRecord, name), unit->name);
    if (is_here) {
      writer_.AddRelocation(
          units,
          {at + offsetof(UnitRecord, address), R_X86_64_64,
           writer_.SectionSymbol(section_of_.at(unit->main().index)), 0});
    }
  }
  ObjectWriter::NewSection stack;
  stack.name = ".note.GNU-stack";
  stack.type = SHT_PROGBITS;
  stack.flags = 0;
  writer_.AddSection(std::move(stack));
  return writer_.Write(path);
}

}  // namespace differ
}  // namespace instar

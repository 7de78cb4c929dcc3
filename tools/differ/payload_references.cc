// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/payload.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;
using generated_module::ImportKind;

bool IsOfTheLinker(absl::string_view name) {
  return name == "_GLOBAL_OFFSET_TABLE_" || name == "__dso_handle" ||
         name == "__tls_get_addr";
}

// What libc.so has not, and libc_nonshared.a has for each image that is linked:
// it hands on which image asks (__dso_handle).
bool IsLinkedIntoEach(absl::string_view name) {
  return name == "atexit" || name == "at_quick_exit" ||
         name == "pthread_atfork";
}

// Asks for the start of the image's thread-local variables.
bool IsOfModuleBase(const Symbol& symbol, const Relocation& relocation) {
  return relocation.type == R_X86_64_TLSLD ||
         symbol.name == "_TLS_MODULE_BASE_";
}

}  // namespace

// What references become.

std::optional<Payload::Target> Payload::Resolve(const Unit& owner,
                                                const Section& section,
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
             : ResolveName(owner, section, relocation);
}

std::optional<Payload::Target> Payload::ResolveName(
    const Unit& owner, const Section& section, const Relocation& relocation) {
  const Symbol& symbol = object_.SymbolOf(relocation);
  const Unit* unit = object_.UnitOf(symbol.section);
  const auto external = [&](bool is_ours) {
    Target target;
    target.symbol = External(symbol, is_ours);
    target.addend = relocation.addend;
    return target;
  };
  if (IsOfTheLinker(symbol.name)) return external(false);
  if (unit == nullptr && context_.wrapped_names.contains(symbol.name)) {
    Refuse(owner, absl::StrCat("uses ", Demangle(symbol.name),
                               ", which the program has a wrapper of, __wrap_",
                               symbol.name,
                               ": whether it was linked with --wrap is not "
                               "known. Let the code name the one it means"));
    return std::nullopt;
  }
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
  if (std::optional<Target> bound =
          ResolveBound(defined, section, relocation)) {
    return bound;
  }
  const auto imported = [&](Place place) {
    CheckPreemption(symbol.name, place, ImportKind::kIsOwn);
    return Imported(owner, defined, place, relocation.addend, symbol.name,
                    symbol.type == STT_TLS);
  };
  // What runs has it, here or from another object.
  if (defined != nullptr) {
    const std::optional<Place> place = PlaceOf(*defined);
    if (place) {
      const auto name = std::find_if(
          defined->symbols.begin(), defined->symbols.end(),
          [&](const Symbol* one) { return one->name == symbol.name; });
      const std::uint64_t value =
          name == defined->symbols.end() ? defined->entry : (*name)->value;
      if (!defined->is_function()) {
        return imported({place->image, place->address + value});
      }
      if (value == defined->entry) {
        const Unit& first = defined->old != nullptr ? *defined->old : *defined;
        return imported({place->image, place->address + first.entry});
      }
      // A thunk has a place of its own.
      const auto thunk =
          context_.state->Find(symbol.name, MayBeHidden(symbol.name));
      if (!thunk) {
        Refuse(owner, absl::StrCat("refers to ", Demangle(symbol.name),
                                   ", which the program does not have"));
        return std::nullopt;
      }
      return imported(*thunk);
    }
  }
  if (defined == nullptr || unit == nullptr ||
      defined->status != UnitStatus::kNew || !defined->main().group.empty()) {
    const auto place =
        defined != nullptr && unit == nullptr
            ? std::nullopt
            : context_.state->Find(symbol.name, MayBeHidden(symbol.name));
    if (place) return imported(*place);
  }
  if (defined != nullptr && unit == nullptr) return external(true);
  if (unit != nullptr) {
    if (unit->main().group.empty() && MayBeLost(owner, *unit)) {
      return std::nullopt;
    }
    if (IsBroughtByOther(*unit)) return external(true);
    Need(*unit);
    return Inside(relocation);
  }
  if (context_.state->target().IsInLibrary(symbol.name) ||
      IsLinkedIntoEach(symbol.name) || symbol.binding == STB_WEAK) {
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
  if (MayBeLost(owner, *unit)) return std::nullopt;
  Need(*unit);
  return Inside(relocation);
}

// Whether what has not been found may be in the program all the same; refuses
// that.
bool Payload::MayBeLost(const Unit& owner, const Unit& unit) {
  if (unit.old == nullptr || context_.complete.count(unit.old->object) != 0) {
    return false;
  }
  Refuse(owner, absl::StrCat("uses ", Demangle(unit.name),
                             ", which cannot be found in the program: give the "
                             "program with its symbols"));
  return true;
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
                                                 absl::string_view name,
                                                 bool is_thread_local) {
  is_thread_local |= unit != nullptr && unit->is_thread_local();
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
                               "which has another place in each process. Reach "
                               "it by a function of the shared object that has "
                               "not changed"));
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

void Payload::Relocate(const Unit& unit, const Section& section) {
  LocalDynamic local_dynamic;
  for (const Relocation& relocation : section.relocations) {
    if (done_.count(&relocation) != 0) continue;
    if (IsOfModuleBase(object_.SymbolOf(relocation), relocation)) {
      local_dynamic.bases.push_back(&relocation);
      continue;
    }
    if (relocation.type == R_X86_64_NONE) continue;
    const std::optional<Target> target = Resolve(unit, section, relocation);
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
  if (import.slot != nullptr) {
    if (!RelocateBound(section, relocation, import)) {
      Refuse(unit, absl::StrCat("refers to ", Demangle(import.name),
                                ", which another image may define, in a way "
                                "(relocation ",
                                relocation.type,
                                ") that is not known: compile both builds with "
                                "-fPIC"));
    }
    return;
  }
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

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/payload.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/judges/never_left.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;
using generated_module::ImportKind;

// Whether it begins with what -fpatchable-function-entry=5 leaves there.
bool HasRoomAtEntry(const Unit& function) {
  const absl::string_view code = function.main().bytes;
  return function.entry <= code.size() &&
         absl::StartsWith(code.substr(function.entry), kOneByteNoOps);
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

void Payload::Choose() {
  for (const auto& unit : object_.units()) {
    if (IsHook(*unit)) {
      // One that the last update had as well is not called again.
      if (unit->status != UnitStatus::kSame && !IsBroughtByOther(*unit)) {
        ++hooks_;
        Need(*unit);
      }
    } else if (unit->is_function() && !unit->is_initializer()) {
      if (unit->status == UnitStatus::kChanged) {
        if (IsBroughtByOther(*unit)) continue;
        if (unit->is_indirect()) {
          Refuse(*unit,
                 "is chosen when the program starts (IFUNC), and how has "
                 "changed: that has no effect any more");
          continue;
        }
        if (IsOfOther(*unit)) {
          // The object that it is of brings its next version.
          if (!context_.changed_copies.contains(unit->name)) {
            Refuse(*unit,
                   "has changed, and the program has another object's "
                   "definition of it, with other code, which has not: leave it "
                   "as it was, or give the two names of their own");
          }
          continue;
        }
        const std::optional<Place> place = PlaceOf(*unit);
        if (place) {
          if (!HasRoomAtEntry(*unit->old)) {
            Refuse(*unit,
                   "has changed, and has no room for a jump at its entry: it "
                   "is assembly, or was compiled with another "
                   "-fpatchable-function-entry or an attribute of that name. "
                   "Give the new one another name, and let functions that "
                   "have the room use it");
            continue;
          }
          const std::uint32_t flags = FlagsOf(*unit);
          redirected_.push_back(
              {unit.get(),
               {place->image, place->address + unit->old->entry},
               flags,
               unit->name,
               unit->global_name(),
               unit->entry});
          if (flags & generated_module::kMustBeQuiescent) {
            WatchColdPart(*unit->old, *place, context_);
          }
          RedirectThunks(*unit, flags);
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
               !IsVirtualTable(unit->name) && !IsTypeInfo(unit->name)) {
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
  const bool is_asked_for = IsAtNextCall(unit, context_);
  if (!is_never_left && !is_asked_for) {
    return generated_module::kMustBeQuiescent;
  }
  const auto converted = context_.converts_under.find(unit.old->name);
  if (converted != context_.converts_under.end()) {
    Refuse(unit,
           absl::StrCat(is_never_left ? "is never left" : "may be running",
                        ", and was compiled for ", converted->second,
                        " as it was: what uses its objects belongs into a "
                        "function that returns"));
  }
  if (is_never_left && !is_asked_for) {
    const std::set<std::string> before = CaughtBy(*unit.old);
    for (const std::string& type : CaughtBy(unit)) {
      if (before.count(type) != 0) continue;
      Refuse(unit, absl::StrCat(
                       "is never left, and catches ", type,
                       " only from its next call on: what throws it would go "
                       "past the handlers of today. If that is right all the "
                       "same, say --at-next-call '",
                       code_internal::QualifiedName(Demangle(unit.name)), "'"));
    }
    for (const std::string& name : MayThrowOnlyNow(*unit.old, unit)) {
      Refuse(unit, absl::StrCat(
                       "is never left, and was compiled for a ", name,
                       " that throws nothing: an exception would end the "
                       "program. If there is none, say --at-next-call '",
                       code_internal::QualifiedName(Demangle(unit.name)), "'"));
    }
  }
  context_.findings->Note(
      object_.name(),
      absl::StrCat(Demangle(unit.name),
                   is_never_left ? " is never left" : " may be running",
                   ": its new version takes effect at its next call"));
  return 0;
}

void Payload::RedirectThunks(const Unit& unit, std::uint32_t flags) {
  std::map<absl::string_view, const Symbol*> thunks;  // of either build
  for (const Symbol* thunk : unit.old->thunks()) thunks[thunk->name] = nullptr;
  for (const Symbol* thunk : unit.thunks()) thunks[thunk->name] = thunk;
  for (const auto& [name, thunk] : thunks) {
    const std::optional<Place> place = PlaceOfThunk(name, unit, context_);
    if (!place) continue;
    if (thunk == nullptr) {
      Refuse(unit, absl::StrCat("has changed, and has no ", Demangle(name),
                                " beside it any more, by which objects "
                                "that exist are called: leave it inline, "
                                "and the bases of its class as they were"));
      continue;
    }
    redirected_.push_back(
        {&unit, *place, flags, std::string(name), name, thunk->value});
  }
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

bool Payload::IsOfOther(const Unit& unit) const {
  return unit.is_function() && unit.old != nullptr &&
         !context_.place_of.contains(unit.old) && PlaceOf(unit).has_value();
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
  // Where local symbols were kept, every variable has one. What has none then
  // is what the compiler copies to the stack, as the first value of a large
  // array.
  const bool is_copied_only =
      unit.main().type == SHT_PROGBITS && !object_.source().empty();
  if (unit.is_anonymous() && !unit.is_constant()) {
    if (!unit.symbols.empty()) {
      Refuse(unit,
             "holds addresses of labels, and may hold what the program has put "
             "there. Make it const");
    } else if (!absl::StartsWith(unit.name, ".data.rel.") && !is_copied_only) {
      Refuse(unit,
             "holds variables without names, whose values the program has");
    }
  } else if (unit.is_anonymous() && !unit.symbols.empty() &&
             !unit.main().Has(SHF_EXECINSTR)) {
    context_.findings->Note(
        object_.name(),
        absl::StrCat(unit.symbols.front()->name,
                     " holds addresses of labels of a function that has "
                     "changed: those that the program has put elsewhere lead "
                     "into the old code"));
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
      copy.visibility = IsHook(unit) ? STV_DEFAULT : STV_HIDDEN;
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
// all others do.
void Payload::ImportOwnAddress(const Unit& unit, const Section& section) {
  if (!is_redirected_.contains(&unit)) return;
  const auto place = PlaceOf(unit);
  for (const std::uint64_t at : OwnAddressesIn(unit, section)) {
    const Import import = {
        {place->image, place->address + unit.old->entry}, -4, unit.name, false};
    fields_.push_back(
        {section_of_.at(section.index), at, import, ImportKind::kRelative32});
  }
}

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

}  // namespace differ
}  // namespace instar

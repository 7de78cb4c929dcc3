// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A payload's part of the tables of the module
// (manager/module/generated_module.h, update_state.h).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "tools/differ/payload.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {

using generated_module::ImportKind;

absl::Status Payload::Write(const std::string& path, std::uint64_t number) {
  CopyFrames();
  CopyDebugInfo();
  NameTable names(writer_);
  WriteImports(names);
  WriteRedefinitions(names);
  WriteUnits(names, number);
  return writer_.Write(path);
}

void Payload::WriteImports(NameTable& names) {
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
  for (const RedirectedFunction& function : redirected_) {
    CheckPreemption(function.known, function.entry, ImportKind::kMayBeOther);
  }
  for (const auto& checked : checked_names_) {
    generated_module::Import record = {};
    record.target = checked.second.second.address;
    record.kind = checked.second.first;
    const std::uint64_t at = writer_.BytesOf(imports).size();
    Append(writer_.BytesOf(imports), record);
    names.Refer(imports, at + offsetof(generated_module::Import, name),
                checked.first);
  }
}

void Payload::WriteRedefinitions(NameTable& names) {
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
         static_cast<std::int64_t>(function.new_entry)});
    names.Refer(redefinitions,
                at + offsetof(generated_module::Redefinition, name),
                function.name);
  }
  for (const Unit* unit : included_) {
    if (!BlocksUndo(*unit)) continue;
    generated_module::Redefinition record = {};
    record.image = generated_module::kThisModule;
    record.flags = generated_module::kOnlyWatched;
    const std::uint64_t at = writer_.BytesOf(redefinitions).size();
    Append(writer_.BytesOf(redefinitions), record);
    writer_.AddRelocation(
        redefinitions,
        {at + offsetof(generated_module::Redefinition, old_entry), R_X86_64_64,
         writer_.SectionSymbol(section_of_.at(unit->main().index)),
         static_cast<std::int64_t>(unit->entry)});
    names.Refer(redefinitions,
                at + offsetof(generated_module::Redefinition, name),
                unit->name);
  }
}

void Payload::WriteUnits(NameTable& names, std::uint64_t number) {
  const ObjectWriter::SectionId units = AddTable(writer_, kUnitsSection);
  // `section`: of this module, if it is there; the address is in that then.
  const auto add = [&](const std::string& name, const Place& where,
                       RecordKind kind, const Section& section) {
    const UnitRecord record = {number, 0, where.address, where.image, kind};
    const std::uint64_t at = writer_.BytesOf(units).size();
    Append(writer_.BytesOf(units), record);
    names.Refer(units, at + offsetof(UnitRecord, name), name);
    if (where.image == kThisModule) {
      writer_.AddRelocation(
          units, {at + offsetof(UnitRecord, address), R_X86_64_64,
                  writer_.SectionSymbol(section_of_.at(section.index)),
                  static_cast<std::int64_t>(where.address)});
    }
  };
  for (const auto& unit : object_.units()) {
    if (unit->is_anonymous()) continue;
    const std::optional<Place> place = PlaceOf(*unit);
    const bool is_here = is_included_.contains(unit.get()) &&
                         (!place || IsReplacedConstant(*unit));
    if (!is_here && (!place || IsOfOther(*unit))) continue;
    Place where = is_here ? Place{kThisModule, 0} : *place;
    // So that the entry is where it was, wherever the new section has it.
    if (!is_here && unit->is_function() && unit->old != nullptr) {
      where.address += unit->old->entry - unit->entry;
    }
    add(unit->name, where,
        unit->is_global() && !unit->is_separate ? RecordKind::kGlobal
                                                : RecordKind::kLocal,
        unit->main());
    for (const Symbol* thunk : unit->thunks()) {
      if (!is_here || unit->is_separate || thunk->is_local()) continue;
      add(std::string(thunk->name), {kThisModule, thunk->value},
          RecordKind::kThunk, unit->main());
    }
    if (unit->parts.size() > 1 && is_included_.contains(unit.get())) {
      add(unit->name, {kThisModule, 0}, RecordKind::kColdPart, *unit->parts[1]);
    }
    const auto cold_parts = context_.cold_parts_of.find(unit->old);
    if (cold_parts == context_.cold_parts_of.end()) continue;
    for (const Place& part : cold_parts->second) {
      add(unit->name, part, RecordKind::kColdPart, unit->main());
    }
  }
}

}  // namespace differ
}  // namespace instar

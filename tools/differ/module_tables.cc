// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/module_tables.h"

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "manager/module/generated_module.h"
#include "tools/differ/object_writer.h"
#include "tools/differ/payload.h"
#include "updates/update_module.h"

namespace instar {
namespace differ {
namespace {

void AppendString(std::string& out, const std::string& text) {
  out.append(text.c_str(), text.size() + 1);
}

// System V ABI, chapter 5, "Note Section".
void AddNote(ObjectWriter& writer, const char* section_name, std::uint32_t type,
             const std::string& descriptor) {
  ObjectWriter::NewSection section;
  section.name = section_name;
  section.type = SHT_NOTE;
  section.flags = SHF_ALLOC;
  section.alignment = 4;
  std::string owner;
  AppendString(owner, updates_internal::kNoteOwner);
  Append(section.bytes, static_cast<std::uint32_t>(owner.size()));
  Append(section.bytes, static_cast<std::uint32_t>(descriptor.size()));
  Append(section.bytes, type);
  for (const std::string* part :
       {static_cast<const std::string*>(&owner), &descriptor}) {
    section.bytes += *part;
    section.bytes.append((4 - section.bytes.size() % 4) % 4, '\0');
  }
  writer.AddSection(std::move(section));
}

std::string BaseName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

absl::Status WriteModuleTables(const ModuleTables& tables,
                               const std::string& path) {
  ObjectWriter writer("instar-diff");
  const LinkedImage& target = tables.state->target();
  const std::string target_name = BaseName(target.elf().path());

  std::string of_module;
  Append(of_module, updates_internal::kModuleFormat);
  Append(of_module, updates_internal::kGeneratedKind);
  AppendString(of_module, tables.update_name);
  AddNote(writer, ".note.instar.module", updates_internal::kModuleNote,
          of_module);
  std::string of_program;
  Append(of_program, updates_internal::kModuleFormat);
  Append(of_program,
         static_cast<std::uint32_t>(tables.state->modules().size()));
  AppendString(of_program, target_name);
  AppendString(of_program, target.build_id());
  for (const EarlierModule& module : tables.state->modules()) {
    AppendString(of_program, module.update_name);
    AppendString(of_program, module.soname);
  }
  AddNote(writer, ".note.instar.program", updates_internal::kProgramNote,
          of_program);

  NameTable names(writer);
  const ObjectWriter::SectionId images =
      AddTable(writer, generated_module::kImagesSection);
  const auto add_image = [&](const std::string& name,
                             const std::string& build_id) {
    const std::uint64_t at = writer.BytesOf(images).size();
    Append(writer.BytesOf(images), generated_module::ImageRecord{});
    names.Refer(images, at + offsetof(generated_module::ImageRecord, name),
                name);
    names.Refer(images, at + offsetof(generated_module::ImageRecord, build_id),
                build_id);
  };
  add_image(target_name, target.build_id());
  for (const EarlierModule& module : tables.state->modules()) {
    add_image(module.file, module.build_id);
  }
  const ObjectWriter::SectionId objects = AddTable(writer, kObjectsSection);
  for (const ModuleTables::ComparedObject& compared : tables.objects) {
    ObjectRecord record = {};
    record.digest = DigestOf(compared.object->elf().bytes());
    record.is_complete = compared.is_complete ? 1 : 0;
    const std::uint64_t at = writer.BytesOf(objects).size();
    Append(writer.BytesOf(objects), record);
    names.Refer(objects, at + offsetof(ObjectRecord, name),
                compared.object->name());
  }
  const ObjectWriter::SectionId redefinitions =
      AddTable(writer, generated_module::kRedefinitionsSection);
  for (const WatchedCode& watched : tables.watched) {
    generated_module::Redefinition record = {};
    record.old_entry = watched.place.address;
    record.image = watched.place.image;
    record.flags = generated_module::kOnlyWatched;
    const std::uint64_t at = writer.BytesOf(redefinitions).size();
    Append(writer.BytesOf(redefinitions), record);
    names.Refer(redefinitions,
                at + offsetof(generated_module::Redefinition, name),
                watched.name);
  }
  const ObjectWriter::SectionId still_called =
      AddTable(writer, kStillCalledSection);
  for (const std::string& name : tables.still_called) {
    const std::uint64_t at = writer.BytesOf(still_called).size();
    Append(writer.BytesOf(still_called), StillCalledRecord{});
    names.Refer(still_called, at, name);
  }
  const ObjectWriter::SectionId gone_types =
      AddTable(writer, kGoneTypesSection);
  for (const auto& type : tables.gone_types) {
    for (const std::uint64_t digest : type.second) {
      const std::uint64_t at = writer.BytesOf(gone_types).size();
      Append(writer.BytesOf(gone_types), GoneTypeRecord{0, digest});
      names.Refer(gone_types, at + offsetof(GoneTypeRecord, name), type.first);
    }
  }
  const ObjectWriter::SectionId report =
      AddTable(writer, generated_module::kReportSection);
  writer.BytesOf(report) = tables.report;
  return writer.Write(path);
}

}  // namespace differ
}  // namespace instar

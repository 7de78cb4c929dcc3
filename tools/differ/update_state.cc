// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/update_state.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "manager/module/generated_module.h"
#include "updates/update_module.h"

namespace instar {
namespace differ {
namespace {

std::string BaseName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string SonameOf(const ElfFile& elf) {
  for (const Elf64_Dyn& entry : elf.DynamicEntries()) {
    if (entry.d_tag == DT_SONAME) {
      return std::string(StringAt(elf.DynamicStrings(), entry.d_un.d_val));
    }
  }
  return "";
}

// Those of a table; what is left over at its end is none.
template <typename Record>
std::vector<Record> RecordsOf(const ElfFile& elf, const char* section) {
  std::vector<Record> records;
  const Section* table = elf.FindSection(section);
  if (table == nullptr) return records;
  for (std::uint64_t at = 0;; at += sizeof(Record)) {
    const auto record = ReadAt<Record>(table->bytes, at);
    if (!record) return records;
    records.push_back(*record);
  }
}

}  // namespace

// FNV-1a. It tells builds apart that were mixed up, not forgeries.
std::uint64_t DigestOf(absl::string_view bytes) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
  }
  return hash;
}

absl::StatusOr<UpdateState> UpdateState::Read(
    const std::string& target, const std::vector<std::string>& modules,
    const std::string& target_was) {
  UpdateState state;
  INSTAR_ASSIGN_OR_RETURN(state.target_, LinkedImage::Read(target, target_was));
  for (const std::string& module : modules) {
    INSTAR_RETURN_IF_ERROR(state.AddModule(module));
  }
  return state;
}

absl::Status UpdateState::AddModule(const std::string& path) {
  INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(path));
  const Section* names_section =
      elf.FindSection(generated_module::kNamesSection);
  const absl::string_view names =
      names_section == nullptr ? absl::string_view() : names_section->bytes;
  const auto images = RecordsOf<generated_module::ImageRecord>(
      elf, generated_module::kImagesSection);
  if (images.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no module that instar-diff has made"));
  }
  const generated_module::ImageRecord& target = images.front();
  const absl::string_view target_id = StringAt(names, target.build_id);
  if (target_id != target_->build_id()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " was made for another build of ",
                     StringAt(names, target.name), " (", target_id, ") than ",
                     target_->elf().path(), " (", target_->build_id(), ")"));
  }
  // Its images are those that have been applied before it.
  std::vector<std::uint32_t> image_of = {0};
  for (std::size_t i = 1; i < images.size(); ++i) {
    const absl::string_view id = StringAt(names, images[i].build_id);
    std::uint32_t number = 0;
    for (std::size_t m = 0; m < modules_.size(); ++m) {
      if (modules_[m].build_id == id)
        number = static_cast<std::uint32_t>(m + 1);
    }
    if (number == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " goes on from ", StringAt(names, images[i].name),
                       ": give that one before it"));
    }
    image_of.push_back(number);
  }
  EarlierModule module;
  module.file = BaseName(path);
  module.build_id = elf.BuildId();
  module.soname = SonameOf(elf);
  const Section* note = elf.FindSection(".note.instar.module");
  if (note != nullptr && note->bytes.size() > 28) {
    module.update_name = std::string(StringAt(note->bytes, 28));
  }
  if (module.build_id.empty() || module.soname.empty() ||
      module.update_name.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is damaged"));
  }
  modules_.push_back(module);
  const auto number = static_cast<std::uint32_t>(modules_.size());

  std::vector<KnownObject*> known;
  for (const ObjectRecord& record :
       RecordsOf<ObjectRecord>(elf, kObjectsSection)) {
    KnownObject& object = objects_[std::string(StringAt(names, record.name))];
    object = {record.digest, record.is_complete != 0, {}, {}};
    known.push_back(&object);
  }
  for (const StillCalledRecord name :
       RecordsOf<StillCalledRecord>(elf, kStillCalledSection)) {
    still_called_.emplace(StringAt(names, name));
  }
  for (const GoneTypeRecord& record :
       RecordsOf<GoneTypeRecord>(elf, kGoneTypesSection)) {
    gone_types_[std::string(StringAt(names, record.name))].insert(
        record.digest);
  }
  for (const UnitRecord& record : RecordsOf<UnitRecord>(elf, kUnitsSection)) {
    const bool is_here = record.image == kThisModule;
    if (record.object >= known.size() ||
        (!is_here && record.image >= image_of.size())) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is damaged"));
    }
    const Place place = {is_here ? number : image_of[record.image],
                         record.address};
    const std::string name(StringAt(names, record.name));
    KnownObject& object = *known[record.object];
    if (record.kind == RecordKind::kColdPart) {
      object.cold_parts[name].push_back(place);
      continue;
    }
    if (record.kind == RecordKind::kThunk) {
      globals_.emplace(name, place);
      if (elf.BytesAt(place.address, kNoOp.size()) == kNoOp) {
        with_room_.emplace(place.image, place.address);
      }
      continue;
    }
    object.units[name] = place;
    if (is_here && record.kind == RecordKind::kGlobal) {
      globals_.emplace(name, place);
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> UpdateState::brought_objects() const {
  std::vector<std::string> names;
  for (const auto& object : objects_) names.push_back(object.first);
  return names;
}

absl::StatusOr<UpdateState::Located> UpdateState::Locate(
    const Object& object) const {
  Located located;
  const auto known = objects_.find(object.name());
  if (known == objects_.end()) {
    INSTAR_ASSIGN_OR_RETURN(const Places places, target_->Locate(object));
    located.is_complete = places.is_complete;
    for (const auto& entry : places.address_of) {
      located.place_of[entry.first] = {0, entry.second};
    }
    for (const auto& entry : places.cold_part_of) {
      located.cold_parts_of[entry.first].push_back({0, entry.second});
    }
    return located;
  }
  if (known->second.digest != DigestOf(object.elf().bytes())) {
    return absl::InvalidArgumentError(absl::StrCat(
        object.name(),
        " is not the object that the last of the modules was made with: give "
        "the very build that it brought"));
  }
  located.is_complete = known->second.is_complete;
  for (const auto& unit : object.units()) {
    const auto place = known->second.units.find(unit->name);
    if (!unit->is_anonymous() && place != known->second.units.end()) {
      located.place_of[unit.get()] = place->second;
    }
    const auto cold_parts = known->second.cold_parts.find(unit->name);
    if (!unit->is_anonymous() && cold_parts != known->second.cold_parts.end()) {
      located.cold_parts_of[unit.get()] = cold_parts->second;
    }
  }
  return located;
}

std::optional<Place> UpdateState::Find(absl::string_view name,
                                       bool may_be_hidden) const {
  const Symbol* symbol =
      may_be_hidden ? target_->Find(name) : target_->FindGlobal(name);
  if (symbol != nullptr) return Place{0, symbol->value};
  const auto found = globals_.find(name);
  if (found == globals_.end()) return std::nullopt;
  return found->second;
}

bool UpdateState::HasRoomAt(const Place& thunk) const {
  if (thunk.image != 0) {
    return with_room_.count({thunk.image, thunk.address}) != 0;
  }
  const auto entry = target_->elf().BytesAt(thunk.address, kNoOp.size());
  return entry == kNoOp || entry == kOneByteNoOps;
}

}  // namespace differ
}  // namespace instar

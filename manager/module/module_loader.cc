// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_loader.h"

#include <elf.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/check.h"
#include "base/linux/image_pin.h"
#include "base/status_macros.h"
#include "manager/module/elf_image.h"
#include "manager/module/generated_binding.h"
#include "manager/module/generated_tables.h"
#include "manager/module/kept_modules.h"
#include "manager/module/load_failure.h"
#include "manager/module/module_state.h"
#include "manager/module/moved_image.h"
#include "manager/module/near_place.h"
#include "manager/module/own_program.h"
#include "manager/module/private_copy.h"
#include "manager/module/scan/module_map.h"
#include "stack/stack_walker.h"

namespace instar {
namespace {

// The one that the module's author gave.
const void* FunctionOf(const UpdateModuleEntry& entry, ModuleKind kind) {
  switch (kind) {
    case ModuleKind::kPlan:
      return reinterpret_cast<const void*>(entry.plan);
    case ModuleKind::kThreadUpdates:
      return reinterpret_cast<const void*>(entry.thread_updates);
    case ModuleKind::kCPlan:
      return reinterpret_cast<const void*>(entry.c_plan);
    case ModuleKind::kGenerated:
      break;
  }
  return nullptr;
}

using manager_internal::AddressRange;
using manager_internal::BoundImage;
using manager_internal::ElfImage;
using manager_internal::GeneratedTables;
using Kept = manager_internal::KeptModule;
using Registry = manager_internal::KeptModules;
using manager_internal::ModuleMap;
using manager_internal::ModuleState;
using manager_internal::Patch;
using manager_internal::PrivateCopy;
using manager_internal::Refuse;

constexpr std::size_t kSerialDigits = 8;
constexpr char kSonameEnd[] = ".so";

// In hexadecimal digits; empty: it has none.
std::string BuildIdOf(const ElfImage& image) {
  std::string build_id;
  image.ForEachNote([&](absl::string_view owner, std::uint32_t type,
                        absl::string_view descriptor) {
    if (owner == "GNU" && type == NT_GNU_BUILD_ID) {
      build_id = manager_internal::HexDigits(descriptor);
    }
  });
  return build_id;
}

std::size_t HashOf(const ModuleFile& file) {
  return std::hash<std::string>()(file.image().bytes());
}

// The serial takes the place of the last digits of the hash. So a DT_NEEDED
// with the same change leads to this very object and to no other one of the
// same build.
std::string LoadSoname(const std::string& soname, std::uint32_t serial) {
  char digits[kSerialDigits + 1];
  std::snprintf(digits, sizeof(digits), "%08x", serial);
  std::string result = soname;
  result.replace(result.size() - (sizeof(kSonameEnd) - 1) - kSerialDigits,
                 kSerialDigits, digits);
  return result;
}

absl::Status CheckProgram(const ModuleFile& file) {
  // Of a shared object, or of none: its images are looked for by their build
  // ids.
  if (file.kind() == ModuleKind::kGenerated &&
      file.program_name() != OwnProgramName()) {
    return absl::OkStatus();
  }
  if (file.program_build_id().empty()) {
    return Refuse(file,
                  "it does not say which program it was built for; give its "
                  "update_module the attribute `program`");
  }
  if (OwnBuildId().empty()) {
    return Refuse(file,
                  "this program has no build id, by which it would know its "
                  "modules; build it with updatable_cc_binary");
  }
  if (file.program_build_id() == OwnBuildId()) return absl::OkStatus();
  if (file.program_name() != OwnProgramName()) {
    return Refuse(
        file, absl::StrCat("it was built for the program ", file.program_name(),
                           ", and this is ", OwnProgramName(),
                           "; load it into ", file.program_name(),
                           ", or build it with program = \":", OwnProgramName(),
                           "\""));
  }
  return Refuse(
      file, absl::StrCat("it was built for another build of ", OwnProgramName(),
                         " (", file.program_build_id().substr(0, 12),
                         "; this program is ", OwnBuildId().substr(0, 12),
                         "); build it with the sources and the options of the "
                         "running program, or start the program anew from the "
                         "build that the module belongs to"));
}

// What the module requires, as it is loaded.
absl::StatusOr<std::vector<Kept>> FindRequired(const ModuleFile& file) {
  std::vector<Kept> found;
  Registry& registry = manager_internal::TheKeptModules();
  std::lock_guard<std::mutex> lock(registry.mutex);
  for (const RequiredModule& required : file.required_modules()) {
    const auto kept = std::find_if(
        registry.kept.rbegin(), registry.kept.rend(), [&](const Kept& k) {
          return k.soname == required.soname && k.state != nullptr;
        });
    if (kept != registry.kept.rend()) {
      found.push_back(*kept);
      continue;
    }
    const bool has_other = std::any_of(
        registry.kept.begin(), registry.kept.end(),
        [&](const Kept& k) { return k.update_name == required.update_name; });
    if (has_other) {
      return Refuse(
          file, absl::StrCat("it was built with another build of the update ",
                             required.update_name,
                             " than the program has taken; build both again, "
                             "undo ",
                             required.update_name,
                             ", and load them one after the other"));
    }
    return Refuse(file,
                  absl::StrCat("it requires the update ", required.update_name,
                               ", which the program has not taken; load "
                               "that one first"));
  }
  return found;
}

// What a generated module refers to; empty of others.
struct Targets {
  std::vector<BoundImage> images;
  std::vector<std::string> modules;  // the load_sonames of those among them
  ImagePin pin;                      // of the first
  std::vector<std::string> remarks;
};

// The module of this build id whose update is applied.
std::optional<BoundImage> FindAppliedModule(absl::string_view build_id,
                                            std::vector<std::string>& names) {
  Registry& registry = manager_internal::TheKeptModules();
  std::lock_guard<std::mutex> lock(registry.mutex);
  const auto kept = std::find_if(
      registry.kept.rbegin(), registry.kept.rend(),
      [&](const Kept& k) { return k.build_id == build_id && k.is_in_use; });
  if (kept == registry.kept.rend()) return std::nullopt;
  names.push_back(kept->load_soname);
  return BoundImage{kept->load_soname,
                    0,
                    kept->load_base,
                    {kept->load_base, kept->load_base + kept->size_in_memory},
                    {}};
}

absl::StatusOr<Targets> FindTargets(const ModuleFile& file) {
  Targets targets;
  if (file.tables() == nullptr) return targets;
  for (const GeneratedTables::Image& image : file.tables()->images()) {
    const bool is_target = targets.images.empty();
    std::optional<BoundImage> found;
    if (is_target) {
      absl::StatusOr<std::optional<BoundImage>> loaded =
          manager_internal::FindLoaded(image);
      if (!loaded.ok()) return Refuse(file, loaded.status().message());
      found = *std::move(loaded);
    } else {
      found = FindAppliedModule(image.build_id, targets.modules);
    }
    if (!found.has_value()) {
      const absl::string_view build = image.build_id.substr(0, 12);
      return Refuse(
          file,
          is_target
              ? absl::StrCat("it changes ", image.name, " (build ", build,
                             "), which is not loaded here in that build; make "
                             "it with instar-diff for the build that runs")
              : absl::StrCat("it was made for the state after ", image.name,
                             " (build ", build,
                             "), whose update is not applied; load that one "
                             "first"));
    }
    if (is_target) {
      targets.pin = ImagePin(found->name, found->linker_base);
      if (!targets.pin.ok()) {
        return Refuse(file, absl::StrCat(image.name, " is being unloaded"));
      }
    }
    targets.images.push_back(*std::move(found));
  }
  const absl::Status status = manager_internal::CheckTargets(
      *file.tables(), targets.images, targets.remarks);
  if (!status.ok()) return Refuse(file, status.message());
  return targets;
}

absl::StatusOr<PrivateCopy> LoadCopy(const ModuleFile& file,
                                     const std::string& load_soname,
                                     absl::Span<const Patch> patches,
                                     const Targets& targets,
                                     const LoadOptions& options) {
  if (file.tables() == nullptr) {
    return PrivateCopy::Load(file.image(), patches, file.shared_file());
  }
  manager_internal::NearContents near;
  near.path_begin = options.path_begin;
  near.path_end = load_soname;
  for (const BoundImage& image : targets.images) {
    near.images.push_back(image.range);
  }
  near.contents = [&](std::uintptr_t base) {
    return manager_internal::BindImports(file.image(), *file.tables(),
                                         targets.images, base);
  };
  return PrivateCopy::LoadNear(file.image(), patches, file.shared_file(), near);
}

// Changes of names in the copy, which keep their length.
std::vector<Patch> RenamePatches(const ModuleFile& file,
                                 const std::string& load_soname,
                                 const std::vector<Kept>& required) {
  const ElfImage& image = file.image();
  std::vector<Patch> patches;
  patches.push_back({*image.OffsetOfSoname(), load_soname});
  for (const Kept& kept : required) {
    for (const absl::string_view needed : image.needed()) {
      if (needed != kept.soname) continue;
      patches.push_back(
          {static_cast<std::size_t>(needed.data() - image.bytes().data()),
           kept.load_soname});
    }
  }
  return patches;
}

}  // namespace

struct LoadedModule::Record {
  Record(ModuleFile f, PrivateCopy c)
      : file(std::move(f)), copy(std::move(c)) {}

  // Of one that is there already.
  Record(ModuleFile f, const Kept& kept)
      : file(std::move(f)),
        load_soname(kept.load_soname),
        entry(kept.entry),
        load_base(kept.load_base),
        path(kept.path),
        image_bases(kept.image_bases),
        is_kept(true) {}
  ~Record() {
    if (!is_kept) return;
    Registry& registry = manager_internal::TheKeptModules();
    std::lock_guard<std::mutex> lock(registry.mutex);
    for (Kept& kept : registry.kept) {
      if (kept.load_soname == load_soname) kept.is_in_use = false;
    }
  }

  ModuleFile file;  // closed
  std::optional<PrivateCopy> copy;
  std::string load_soname;
  std::vector<std::string> required;
  std::shared_ptr<const ModuleState> state;
  std::string why_loaded_again;
  const UpdateModuleEntry* entry = nullptr;  // of a generated one
  std::uintptr_t load_base = 0;
  std::string path;
  std::vector<std::uintptr_t> image_bases;
  ImagePin target;  // keeps it from being unloaded
  std::vector<std::string> remarks;
  bool is_kept = false;
};

LoadedModule::LoadedModule(std::unique_ptr<Record> record)
    : record_(std::move(record)) {}
LoadedModule::LoadedModule(LoadedModule&&) noexcept = default;
LoadedModule& LoadedModule::operator=(LoadedModule&&) noexcept = default;
LoadedModule::~LoadedModule() = default;

const std::string& LoadedModule::why_loaded_again() const {
  return record_->why_loaded_again;
}
const ModuleFile& LoadedModule::file() const { return record_->file; }
const UpdateModuleEntry& LoadedModule::entry() const {
  INSTAR_CHECK(record_->entry != nullptr) << "a generated module has none";
  return *record_->entry;
}
std::uintptr_t LoadedModule::load_base() const { return record_->load_base; }
const std::string& LoadedModule::kept_path() const { return record_->path; }
const std::vector<std::uintptr_t>& LoadedModule::image_bases() const {
  return record_->image_bases;
}
const std::vector<std::string>& LoadedModule::remarks() const {
  return record_->remarks;
}
bool LoadedModule::is_kept() const { return record_->is_kept; }
void LoadedModule::CloseFile() { record_->file.file_ = nullptr; }

void LoadedModule::KeepLoaded() {
  if (std::exchange(record_->is_kept, true)) {
    // It was there already, and is the one that was loaded last now.
    Registry& registry = manager_internal::TheKeptModules();
    std::lock_guard<std::mutex> lock(registry.mutex);
    const auto kept = std::find_if(
        registry.kept.rbegin(), registry.kept.rend(),
        [&](const Kept& k) { return k.load_soname == record_->load_soname; });
    std::rotate(registry.kept.rbegin(), kept, std::next(kept));
    return;
  }
  record_->copy->KeepLoaded();
  const ElfImage& image = record_->file.image();
  const bool is_generated = file().kind() == ModuleKind::kGenerated;
  // One that was generated may be unloaded some time (UnloadModules()).
  if (!is_generated) DeclareNeverUnloaded(FunctionOf(entry(), file().kind()));
  Registry& registry = manager_internal::TheKeptModules();
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.kept.push_back(
      {record_->file.update_name(), record_->file.soname(),
       record_->load_soname, record_->copy->name(), record_->copy->handle(),
       record_->file.image().bytes().size(), HashOf(record_->file),
       std::move(record_->required), record_->entry, std::move(record_->state),
       /*is_in_use=*/true, record_->load_base, record_->copy->path(),
       is_generated ? BuildIdOf(image) : "",
       manager_internal::SizeInMemory(image), record_->image_bases,
       is_generated ? std::make_shared<const ModuleMap>(image) : nullptr, ""});
}

std::optional<LoadedModule> LoadedModule::Reuse(
    const ModuleFile& file, const std::vector<std::string>& required,
    const std::vector<std::uintptr_t>& image_bases, std::string& why_not) {
  const std::size_t hash = HashOf(file);
  Registry& registry = manager_internal::TheKeptModules();
  std::lock_guard<std::mutex> lock(registry.mutex);
  for (auto kept = registry.kept.rbegin(); kept != registry.kept.rend();
       ++kept) {
    if (kept->soname != file.soname() || kept->hash != hash ||
        kept->size != file.image().bytes().size() ||
        kept->required != required || kept->is_in_use) {
      continue;
    }
    // A shared object may have been loaded again, elsewhere.
    if (kept->image_bases != image_bases) continue;
    why_not = kept->state == nullptr ? "is about to be unloaded"
                                     : kept->state->Changed();
    if (!why_not.empty()) continue;
    kept->is_in_use = true;
    LoadedModule module(std::make_unique<Record>(file, *kept));
    module.CloseFile();
    return module;
  }
  return std::nullopt;
}

absl::Status LoadedModule::FindEntry() {
  const std::optional<Elf64_Sym> symbol =
      file().image().FindDefined(updates_internal::kEntrySymbol);
  INSTAR_CHECK(symbol.has_value()) << "ReadModuleFile() has looked for it";
  record_->entry = reinterpret_cast<const UpdateModuleEntry*>(
      record_->load_base + symbol->st_value);
  if (entry().format != updates_internal::kModuleFormat ||
      entry().name != file().update_name() ||
      FunctionOf(entry(), file().kind()) == nullptr) {
    return Refuse(file(),
                  "its instar_update_module and its note say different "
                  "things; build it again with update_module");
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadedModule> LoadModule(const ModuleFile& file,
                                        const LoadOptions& options) {
  INSTAR_RETURN_IF_ERROR(CheckProgram(file));
  INSTAR_ASSIGN_OR_RETURN(const std::vector<Kept> required, FindRequired(file));
  std::vector<std::string> required_names;
  for (const Kept& kept : required) required_names.push_back(kept.load_soname);
  INSTAR_ASSIGN_OR_RETURN(Targets targets, FindTargets(file));
  required_names.insert(required_names.end(), targets.modules.begin(),
                        targets.modules.end());
  std::vector<std::uintptr_t> image_bases;
  for (const BoundImage& image : targets.images) {
    image_bases.push_back(image.base);
  }
  std::string why_loaded_again;
  if (std::optional<LoadedModule> reused = LoadedModule::Reuse(
          file, required_names, image_bases, why_loaded_again)) {
    reused->record_->target = std::move(targets.pin);
    reused->record_->remarks = std::move(targets.remarks);
    return *std::move(reused);
  }
  std::uint32_t serial;
  {
    Registry& registry = manager_internal::TheKeptModules();
    std::lock_guard<std::mutex> lock(registry.mutex);
    serial = ++registry.serial;
  }
  const std::string load_soname = LoadSoname(file.soname(), serial);
  absl::StatusOr<PrivateCopy> copy =
      LoadCopy(file, load_soname, RenamePatches(file, load_soname, required),
               targets, options);
  if (absl::IsResourceExhausted(copy.status()) ||
      absl::IsAborted(copy.status())) {
    return absl::Status(copy.status().code(),
                        absl::StrCat(file.path(), " cannot be loaded: ",
                                     copy.status().message()));
  }
  if (!copy.ok()) {
    std::vector<void*> handles;
    for (const Kept& kept : required) handles.push_back(kept.handle);
    return manager_internal::ExplainLoadFailure(file, handles,
                                                copy.status().message());
  }
  LoadedModule module(
      std::make_unique<LoadedModule::Record>(file, *std::move(copy)));
  module.CloseFile();  // the copy has one
  LoadedModule::Record& record = *module.record_;
  record.load_soname = load_soname;
  record.required = std::move(required_names);
  if (!record.required.empty()) {
    Registry& registry = manager_internal::TheKeptModules();
    std::lock_guard<std::mutex> lock(registry.mutex);
    registry.bound.push_back(
        {file.update_name(), load_soname, record.required});
  }
  record.why_loaded_again = std::move(why_loaded_again);

  record.load_base = record.copy->load_base();
  record.path = record.copy->path();
  record.target = std::move(targets.pin);
  record.remarks = std::move(targets.remarks);
  record.image_bases = std::move(image_bases);

  if (file.kind() != ModuleKind::kGenerated) {
    INSTAR_RETURN_IF_ERROR(module.FindEntry());
  }
  const absl::Status initialized = record.copy->Initialize(file.image());
  if (!initialized.ok()) {
    return absl::AbortedError(absl::StrCat(
        file.path(), " cannot be loaded: one of its static initializers threw ",
        initialized.message(),
        "; let what may fail be done by the update's function, which can "
        "return an error"));
  }
  record.state =
      std::make_shared<const ModuleState>(file.image(), record.load_base);
  return module;
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_loader.h"

#include <dlfcn.h>

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
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"
#include "manager/module/elf_image.h"
#include "manager/module/module_state.h"
#include "manager/module/own_program.h"
#include "manager/module/private_copy.h"
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
  }
  return nullptr;
}

using manager_internal::ElfImage;
using manager_internal::ModuleState;
using manager_internal::Patch;
using manager_internal::PrivateCopy;

constexpr std::size_t kSerialDigits = 8;
constexpr char kSonameEnd[] = ".so";
constexpr std::size_t kMaxNamed = 10;

// A module that was kept, as those that require it look for it, and as it is
// used again.
struct Kept {
  std::string update_name;
  std::string soname;       // by which builds are told apart
  std::string load_soname;  // by which loaded objects are
  void* handle;

  // Of the bytes of its file, which the soname tells apart unless somebody has
  // changed them since.
  std::size_t size;
  std::size_t hash;
  std::vector<std::string> required;  // their load_sonames
  const UpdateModuleEntry* entry;
  std::shared_ptr<const ModuleState> state;
  bool is_in_use;  // a LoadedModule has it
};

std::size_t HashOf(const ModuleFile& file) {
  return std::hash<std::string>()(file.image().bytes());
}

struct Registry {
  std::mutex mutex;
  std::vector<Kept> kept;    // in the order in which they were loaded
  std::uint32_t serial = 0;  // of the latest one that was loaded
};

// Never destroyed: modules stay loaded until the process ends.
Registry& TheRegistry() {
  static Registry& registry = *new Registry;
  return registry;
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

absl::Status Refuse(const ModuleFile& file, absl::string_view reason) {
  return absl::FailedPreconditionError(
      absl::StrCat(file.path(), " cannot be loaded: ", reason));
}

absl::Status CheckProgram(const ModuleFile& file) {
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
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  for (const RequiredModule& required : file.required_modules()) {
    const auto kept = std::find_if(
        registry.kept.rbegin(), registry.kept.rend(),
        [&](const Kept& k) { return k.soname == required.soname; });
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

// The symbols that nobody defines, demangled.
std::vector<std::string> MissingSymbols(const ModuleFile& file,
                                        const std::vector<Kept>& required) {
  std::vector<void*> handles;
  for (const absl::string_view needed : file.image().needed()) {
    void* const handle = dlopen(std::string(needed).c_str(), RTLD_LAZY);
    if (handle != nullptr) handles.push_back(handle);
  }
  std::vector<std::string> missing;
  for (const absl::string_view symbol : file.UndefinedSymbols()) {
    const std::string name(symbol);
    const auto defines = [&name](void* handle) {
      dlerror();
      return dlsym(handle, name.c_str()) != nullptr || dlerror() == nullptr;
    };
    const bool is_defined =
        defines(RTLD_DEFAULT) ||
        std::any_of(handles.begin(), handles.end(), defines) ||
        std::any_of(required.begin(), required.end(),
                    [&](const Kept& kept) { return defines(kept.handle); });
    if (!is_defined) missing.push_back(code_internal::Demangle(name));
  }
  for (void* const handle : handles) dlclose(handle);
  return missing;
}

absl::Status ExplainFailure(const ModuleFile& file,
                            const std::vector<Kept>& required,
                            absl::string_view linker_says) {
  std::vector<std::string> missing = MissingSymbols(file, required);
  if (!missing.empty()) {
    const std::size_t count = missing.size();
    missing.resize(std::min(count, kMaxNamed));
    return Refuse(
        file,
        absl::StrCat(
            "the program does not have what it uses: ",
            absl::StrJoin(missing, ", "),
            count > kMaxNamed
                ? absl::StrCat(" and ", count - kMaxNamed, " more")
                : "",
            "; put the library that defines it into the program's deps as an "
            "updatable_cc_library (or a cc_library with alwayslink = 1), or "
            "the source file into the module's srcs, and build both again"));
  }
  if (absl::StrContains(linker_says, "static TLS")) {
    return Refuse(file,
                  absl::StrCat(linker_says,
                               "; its thread_local variables are accessed in a "
                               "way that has room for few bytes: compile it "
                               "without -ftls-model=initial-exec, or allocate "
                               "them"));
  }
  return Refuse(file, linker_says);
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
        is_kept(true) {}
  ~Record() {
    if (!is_kept) return;
    Registry& registry = TheRegistry();
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
  const UpdateModuleEntry* entry = nullptr;
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
const UpdateModuleEntry& LoadedModule::entry() const { return *record_->entry; }
bool LoadedModule::is_kept() const { return record_->is_kept; }
void LoadedModule::CloseFile() { record_->file.file_ = nullptr; }

void LoadedModule::KeepLoaded() {
  if (std::exchange(record_->is_kept, true)) {
    // It was there already, and is the one that was loaded last now.
    Registry& registry = TheRegistry();
    std::lock_guard<std::mutex> lock(registry.mutex);
    const auto kept = std::find_if(
        registry.kept.rbegin(), registry.kept.rend(),
        [&](const Kept& k) { return k.load_soname == record_->load_soname; });
    std::rotate(registry.kept.rbegin(), kept, std::next(kept));
    return;
  }
  record_->copy->KeepLoaded();
  const UpdateModuleEntry& e = entry();
  DeclareNeverUnloaded(FunctionOf(e, file().kind()));
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.kept.push_back({record_->file.update_name(), record_->file.soname(),
                           record_->load_soname, record_->copy->handle(),
                           record_->file.image().bytes().size(),
                           HashOf(record_->file), std::move(record_->required),
                           record_->entry, std::move(record_->state),
                           /*is_in_use=*/true});
}

std::optional<LoadedModule> LoadedModule::Reuse(
    const ModuleFile& file, const std::vector<std::string>& required,
    std::string& why_not) {
  const std::size_t hash = HashOf(file);
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  for (auto kept = registry.kept.rbegin(); kept != registry.kept.rend();
       ++kept) {
    if (kept->soname != file.soname() || kept->hash != hash ||
        kept->size != file.image().bytes().size() ||
        kept->required != required || kept->is_in_use) {
      continue;
    }
    why_not = kept->state->Changed();
    if (!why_not.empty()) continue;
    kept->is_in_use = true;
    LoadedModule module(std::make_unique<Record>(file, *kept));
    module.CloseFile();
    return module;
  }
  return std::nullopt;
}

absl::StatusOr<LoadedModule> LoadModule(const ModuleFile& file) {
  INSTAR_RETURN_IF_ERROR(CheckProgram(file));
  INSTAR_ASSIGN_OR_RETURN(const std::vector<Kept> required, FindRequired(file));
  std::vector<std::string> required_names;
  for (const Kept& kept : required) required_names.push_back(kept.load_soname);
  std::string why_loaded_again;
  if (std::optional<LoadedModule> reused =
          LoadedModule::Reuse(file, required_names, why_loaded_again)) {
    return *std::move(reused);
  }
  std::uint32_t serial;
  {
    Registry& registry = TheRegistry();
    std::lock_guard<std::mutex> lock(registry.mutex);
    serial = ++registry.serial;
  }
  const std::string load_soname = LoadSoname(file.soname(), serial);
  absl::StatusOr<PrivateCopy> copy = PrivateCopy::Load(
      file.image(), RenamePatches(file, load_soname, required),
      file.shared_file());
  if (!copy.ok()) {
    return ExplainFailure(file, required, copy.status().message());
  }
  LoadedModule module(
      std::make_unique<LoadedModule::Record>(file, *std::move(copy)));
  module.CloseFile();  // the copy has one
  LoadedModule::Record& record = *module.record_;
  record.load_soname = load_soname;
  record.required = std::move(required_names);
  record.why_loaded_again = std::move(why_loaded_again);

  const std::optional<Elf64_Sym> symbol =
      file.image().FindDefined(updates_internal::kEntrySymbol);
  INSTAR_CHECK(symbol.has_value()) << "ReadModuleFile() has looked for it";
  record.entry = reinterpret_cast<const UpdateModuleEntry*>(
      record.copy->load_base() + symbol->st_value);
  const UpdateModuleEntry& entry = *record.entry;
  if (entry.format != updates_internal::kModuleFormat ||
      entry.name != file.update_name() ||
      FunctionOf(entry, file.kind()) == nullptr) {
    return Refuse(file,
                  "its instar_update_module and its note say different "
                  "things; build it again with update_module");
  }
  const absl::Status initialized = record.copy->Initialize(file.image());
  if (!initialized.ok()) {
    return absl::AbortedError(absl::StrCat(
        file.path(), " cannot be loaded: one of its static initializers threw ",
        initialized.message(),
        "; let what may fail be done by the update's function, which can "
        "return an error"));
  }
  record.state = std::make_shared<const ModuleState>(file.image(),
                                                     record.copy->load_base());
  return module;
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Loads an update module into the running program.
//
//   INSTAR_ASSIGN_OR_RETURN(ModuleFile file, ReadModuleFile("add_ratings.so"));
//   INSTAR_ASSIGN_OR_RETURN(LoadedModule module, LoadModule(file));
//   INSTAR_ASSIGN_OR_RETURN(std::unique_ptr<Update> update,
//                           MakeUpdate(module));       // module_update.h
//   INSTAR_RETURN_IF_ERROR(update->Prepare().status());
//   module.KeepLoaded();
//   INSTAR_RETURN_IF_ERROR(update->Apply({}));
//
// A module is loaded from a private copy: its file may be rebuilt meanwhile. A
// module that requires others is bound to those that were kept: of several of
// one build, to the one that was loaded last.
//
// Loading it again starts anew: its variables have their first values. A module
// that was kept stays loaded, so that this takes memory, unless the one
// that is there, and that nobody has any more, will do: it is of the same
// bytes, bound to the same modules, and as it was when it had been loaded
// (manager/module/module_state.h). That is not so if it has static initializers
// or thread_local variables, or if variables of it were changed and have not
// their first values again. Then why_loaded_again() says why.
//
// A generated module (ModuleKind::kGenerated) is loaded near what it refers to,
// and bound to it by addresses (manager/module/generated_binding.h): to the
// program, or to a shared object, which stays loaded as long as the module's
// update is applied, also if it is closed meanwhile (dlclose). What modules
// that were generated before have brought, and it changes, has to be in effect:
// their updates are applied.
//
// Order: notes are checked, then symbols are bound, then the module's static
// initializers run, then, by MakeUpdate(), the function that its author wrote.
// A refusal unloads what was loaded. Traces are left only by what the module's
// own initializers did elsewhere, and, until the thread that ran them ends, by
// thread-local variables with destructors.
//
// Errors of LoadModule() name the file, the reason and the remedy:
//   FailedPrecondition  it was built for another program or another build of
//                       it; what it requires is not there; symbols are
//                       missing (named, demangled)
//   Aborted             a static initializer threw
// and of a generated module
//   ResourceExhausted   there is no room within 2 GiB of its images
//   FailedPrecondition  also if the dynamic linker cannot put it there
//
// Threads: LoadModule() from any; a LoadedModule by one at a time. The thread
// that loads must not be one that is held.
//
// Cost: examples/benchmark/load_benchmark.cc shows it as a part of a whole
// load.

#ifndef INSTAR_MANAGER_MODULE_MODULE_LOADER_H_
#define INSTAR_MANAGER_MODULE_MODULE_LOADER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "manager/module/module_file.h"
#include "updates/update_module.h"

namespace instar {

struct LoadOptions {
  // Of a generated module: how the path of its file begins, for debuggers and
  // core dumps, while it is loaded (manager/module/kept_file.h). Empty: they
  // find it in /proc while the process lives.
  std::string path_begin;
};

class LoadedModule {
 public:
  LoadedModule(LoadedModule&&) noexcept;
  LoadedModule& operator=(LoadedModule&&) noexcept;
  // Unloads the module unless it is kept. Its Update, and everything else that
  // refers to its code, must be gone before.
  ~LoadedModule();

  const ModuleFile& file() const;

  // Why it takes memory though the same module was loaded before; empty: it
  // does not, or that one is in use. A phrase that goes on after "it ".
  const std::string& why_loaded_again() const;

  // What the module exports. Not of a generated one, which exports nothing.
  const UpdateModuleEntry& entry() const;

  // What is to be added to the addresses of its file; of a generated module,
  // also to those of each of its images.
  std::uintptr_t load_base() const;
  const std::vector<std::uintptr_t>& image_bases() const;

  // That of the file by which debuggers find it; empty: LoadOptions gave none,
  // or it could not be made.
  const std::string& kept_path() const;

  // Of a generated module: sentences about functions that it redefines and that
  // others do not reach.
  const std::vector<std::string>& remarks() const;

  // From now on the module is not unloaded, but by UnloadModules()
  // (manager/module/module_unloader.h), and others that require it are bound to
  // it. To be called before its update is applied: stacks, objects and
  // redirected entries may refer to its code from then on.
  void KeepLoaded();
  bool is_kept() const;

 private:
  friend absl::StatusOr<LoadedModule> LoadModule(const ModuleFile& file,
                                                 const LoadOptions& options);
  struct Record;
  explicit LoadedModule(std::unique_ptr<Record> record);
  void CloseFile();
  absl::Status FindEntry();
  // The one that is there, if it will do.
  static std::optional<LoadedModule> Reuse(
      const ModuleFile& file, const std::vector<std::string>& required,
      const std::vector<std::uintptr_t>& image_bases, std::string& why_not);

  std::unique_ptr<Record> record_;
};

absl::StatusOr<LoadedModule> LoadModule(const ModuleFile& file,
                                        const LoadOptions& options = {});

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_MODULE_LOADER_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The file of an update module, before any of its code runs.
//
//   INSTAR_ASSIGN_OR_RETURN(ModuleFile file, ReadModuleFile("add_ratings.so"));
//   file.update_name();                         // "ratings"
//   for (const RequiredModule& required : file.required_modules()) ...
//   INSTAR_ASSIGN_OR_RETURN(LoadedModule module, LoadModule(file));
//
// Who can write a module can run code in the program, so that a file is
// accepted only if it belongs to the user as whom this process runs, or to
// root, and nobody else may write it. It is opened once; what was checked is
// what will be loaded, whatever happens to the file meanwhile.
//
// A bundle holds modules of one update for several builds of its program, or of
// a shared object: an archive of ar(1), made by `instarctl bundle`. It is
// accepted where a module is, and the module for this build is taken from it,
// or for the build of the shared object that is loaded.
//
// Errors name the file, the reason and the remedy:
//   NotFound            there is no such file
//   PermissionDenied    it is somebody else's, others may write it, or this
//                       process may not read it
//   InvalidArgument     it is not an update module, one of another format, or
//                       truncated or damaged
//   FailedPrecondition  it is a bundle without a module for this build; the
//                       builds for which it has one are listed
//
// Threads: a ModuleFile is immutable; copies share what was read.

#ifndef INSTAR_MANAGER_MODULE_MODULE_FILE_H_
#define INSTAR_MANAGER_MODULE_MODULE_FILE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {

namespace manager_internal {
class ElfImage;
class FileDescriptor;
class GeneratedTables;
}  // namespace manager_internal

// kCPlan: a plan that a function of C fills (manager/c/instar.h). kGenerated:
// made by instar-diff of two builds of a program; its tables say what it
// redefines (manager/module/generated_module.h).
enum class ModuleKind { kPlan, kThreadUpdates, kCPlan, kGenerated };

// An update that must have been applied before, in the very build that the
// module was linked with: the DT_SONAME names its contents.
struct RequiredModule {
  std::string update_name;
  std::string soname;
};

class ModuleFile {
 public:
  const std::string& path() const { return path_; }
  const std::string& update_name() const { return update_name_; }
  ModuleKind kind() const { return kind_; }

  // The program that it was built for, or the shared object that it was
  // generated for, and its build id in hexadecimal digits. Both are empty if
  // the rule was given no `program`.
  const std::string& program_name() const { return program_name_; }
  const std::string& program_build_id() const { return program_build_id_; }

  const std::vector<RequiredModule>& required_modules() const {
    return requires_;
  }
  const std::string& soname() const { return soname_; }

  // What it uses of the program, of the modules that it requires and of shared
  // libraries: linkage names, without those that may stay undefined.
  std::vector<absl::string_view> UndefinedSymbols() const;

  std::size_t code_size() const;    // bytes of machine code
  std::size_t loaded_size() const;  // bytes of the file that are loaded

  // For the loader. The tables are null but of a generated module.
  const manager_internal::GeneratedTables* tables() const {
    return tables_.get();
  }
  const manager_internal::ElfImage& image() const { return *image_; }
  std::shared_ptr<const manager_internal::FileDescriptor> shared_file() const {
    return file_;
  }

 private:
  friend class LoadedModule;  // which closes its file
  friend class ModuleReader;
  ModuleFile() = default;

  std::string path_;
  std::string update_name_;
  ModuleKind kind_ = ModuleKind::kPlan;
  std::string program_name_;
  std::string program_build_id_;
  std::vector<RequiredModule> requires_;
  std::string soname_;
  std::shared_ptr<const manager_internal::ElfImage> image_;
  // Refers to the image.
  std::shared_ptr<const manager_internal::GeneratedTables> tables_;
  std::shared_ptr<const manager_internal::FileDescriptor> file_;
};

// `build_id` is that of the program for which it is read, by which the module
// of a bundle is chosen. A module is read whatever its program is: LoadModule()
// refuses that of another one.
absl::StatusOr<ModuleFile> ReadModuleFile(const std::string& path,
                                          const std::string& build_id = "");

// All modules of a bundle, or the one that the file is: at least one.
absl::StatusOr<std::vector<ModuleFile>> ReadAllModules(const std::string& path);

namespace manager_internal {

// That these can be the modules of one bundle.
absl::Status CheckBundled(const std::vector<ModuleFile>& modules);

}  // namespace manager_internal

// The same of a file that is open: that of a client, whose paths may mean other
// files, or none, where this process is. `path` is what messages call it.
absl::StatusOr<ModuleFile> ReadOpenModuleFile(
    const std::string& path, manager_internal::FileDescriptor file,
    const std::string& build_id = "");

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_MODULE_FILE_H_

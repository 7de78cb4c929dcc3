// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "manager/module/bundle.h"
#include "manager/module/elf_image.h"
#include "manager/module/file_descriptor.h"
#include "manager/module/generated_tables.h"
#include "manager/module/moved_image.h"
#include "manager/module/own_program.h"
#include "updates/update_module.h"

namespace instar {
namespace {

using manager_internal::BundlePart;
using manager_internal::ElfImage;
using manager_internal::FileDescriptor;
using manager_internal::GeneratedTables;

constexpr char kRebuild[] =
    "; build it again with update_module of tools/defs.bzl";
constexpr std::uint32_t kMaxRequired = 1024;
constexpr std::size_t kShownOfBuild = 12;  // digits of a build id

// Reads integers and strings off a note's descriptor; goes on with nothing
// once one did not fit.
class NoteReader {
 public:
  explicit NoteReader(absl::string_view bytes) : bytes_(bytes) {}

  std::uint32_t Integer() {
    std::uint32_t value = 0;
    if (bytes_.size() < sizeof(value)) return Fail(), 0;
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_.remove_prefix(sizeof(value));
    return value;
  }

  std::string String() {
    const std::size_t end = bytes_.find('\0');
    if (end == absl::string_view::npos) return Fail(), "";
    std::string value(bytes_.substr(0, end));
    bytes_.remove_prefix(end + 1);
    return value;
  }

  bool ok() const { return ok_; }

 private:
  void Fail() {
    ok_ = false;
    bytes_ = {};
  }

  absl::string_view bytes_;
  bool ok_ = true;
};

// NAME.0123456789abcdef.so, as tools/finish_update_module.py makes it.
bool IsSoname(absl::string_view soname) {
  constexpr std::size_t kDigits = 16;
  if (!absl::ConsumeSuffix(&soname, ".so") || soname.size() < kDigits + 2 ||
      soname[soname.size() - kDigits - 1] != '.') {
    return false;
  }
  return soname.substr(soname.size() - kDigits)
             .find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

// What update_module links, and finish_update_module.py has not looked at.
bool IsUnfinished(absl::string_view soname) {
  return absl::StrContains(soname, ".0000000000000000.so");
}

// Whether its note says so; nothing has been checked yet.
bool IsGenerated(const ElfImage& image) {
  bool is_generated = false;
  image.ForEachNote([&](absl::string_view owner, std::uint32_t type,
                        absl::string_view descriptor) {
    if (owner != updates_internal::kNoteOwner ||
        type != updates_internal::kModuleNote) {
      return;
    }
    NoteReader reader(descriptor);
    reader.Integer();  // the format
    is_generated = reader.Integer() == updates_internal::kGeneratedKind;
  });
  return is_generated;
}

absl::Status CheckAccess(const std::string& path, const struct stat& file) {
  if (!S_ISREG(file.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not an update module: it is not a file"));
  }
  const uid_t user = geteuid();
  if (file.st_uid != user && file.st_uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, " belongs to user ", file.st_uid, ", and this program runs as ",
        user, ": whoever owns a module can run code in the program; make a ",
        "copy that user ", user, " or root owns"));
  }
  if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, " can be written by others than its owner, who could run code ",
        "in this program; chmod go-w ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> OpenFile(const std::string& path) {
  // A pipe or a device must not make us wait.
  FileDescriptor file(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.number() < 0) {
    const std::string message =
        absl::StrCat(path, " cannot be opened: ", std::strerror(errno));
    if (errno == EACCES || errno == EPERM) {
      return absl::PermissionDeniedError(
          absl::StrCat(message, "; this program runs as user ", geteuid(),
                       ", who must be able to read it"));
    }
    return absl::NotFoundError(message);
  }
  return file;
}

// Its size, once its owner and mode have been looked at.
absl::StatusOr<std::size_t> CheckFile(const std::string& path,
                                      const FileDescriptor& file) {
  struct stat status;
  if (fstat(file.number(), &status) != 0) {
    return absl::NotFoundError(
        absl::StrCat(path, " cannot be looked at: ", std::strerror(errno)));
  }
  INSTAR_RETURN_IF_ERROR(CheckAccess(path, status));
  return static_cast<std::size_t>(status.st_size);
}

// A part of a file as a file of its own, in memory.
absl::StatusOr<FileDescriptor> CopyPart(const FileDescriptor& file,
                                        const BundlePart& part,
                                        const std::string& path) {
  FileDescriptor copy(memfd_create(
      path.substr(path.rfind('/') + 1).substr(0, 200).c_str(), MFD_CLOEXEC));
  const auto failed = [&] {
    return absl::FailedPreconditionError(
        absl::StrCat("a module of the bundle ", path,
                     " cannot be copied into memory: ", std::strerror(errno),
                     "; allow this process to make files in memory (sysctl "
                     "vm.memfd_noexec, seccomp, the limits of open files and "
                     "of memory)"));
  };
  if (copy.number() < 0) return failed();
  std::vector<char> buffer(std::size_t{1} << 16);
  for (std::size_t done = 0; done < part.size;) {
    const ssize_t length = pread(file.number(), buffer.data(),
                                 std::min(buffer.size(), part.size - done),
                                 static_cast<off_t>(part.offset + done));
    if (length < 0 && errno == EINTR) continue;
    // One that has become shorter is found to be damaged.
    if (length <= 0) break;
    if (pwrite(copy.number(), buffer.data(), static_cast<std::size_t>(length),
               static_cast<off_t>(done)) != length) {
      return failed();
    }
    done += static_cast<std::size_t>(length);
  }
  return copy;
}

std::string Listed(const std::vector<std::string>& builds) {
  return absl::StrJoin(builds, ", ", [](std::string* out, const auto& build) {
    out->append(build.substr(0, kShownOfBuild));
  });
}

}  // namespace

std::vector<absl::string_view> ModuleFile::UndefinedSymbols() const {
  return image_->UndefinedSymbols();
}

std::size_t ModuleFile::code_size() const { return image_->code_size(); }
std::size_t ModuleFile::loaded_size() const { return image_->loaded_size(); }

class ModuleReader {
 public:
  // What an open file says.
  static absl::StatusOr<ModuleFile> Read(const std::string& path,
                                         FileDescriptor file, std::size_t size);

  // Calls it with each module of the file, until it answers an error.
  static absl::Status ForEach(
      const std::string& path, FileDescriptor file,
      absl::FunctionRef<absl::Status(ModuleFile, bool is_bundled)> visit);
};

absl::StatusOr<ModuleFile> ModuleReader::Read(const std::string& path,
                                              FileDescriptor file,
                                              std::size_t size) {
  absl::StatusOr<ElfImage> image = ElfImage::Read(file.number(), size);
  if (image.ok() && IsGenerated(*image)) {
    // Its tables lie behind what is loaded.
    image = ElfImage::Read(file.number(), size, ElfImage::Part::kWholeFile);
  }
  const auto refuse = [&path](absl::string_view reason,
                              absl::string_view remedy) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not an update module that can be loaded: it ",
                     reason, remedy));
  };
  if (!image.ok()) return refuse(image.status().message(), "");

  ModuleFile module;
  module.path_ = path;
  int module_notes = 0;
  int program_notes = 0;
  absl::Status error;
  image->ForEachNote([&](absl::string_view owner, std::uint32_t type,
                         absl::string_view descriptor) {
    if (owner != updates_internal::kNoteOwner || !error.ok()) return;
    NoteReader reader(descriptor);
    const std::uint32_t format = reader.Integer();
    if (!reader.ok() || format != updates_internal::kModuleFormat) {
      error =
          refuse(absl::StrCat("has format ", format,
                              ", and this program reads format ",
                              updates_internal::kModuleFormat),
                 "; build it with the Instar that the program was built with");
      return;
    }
    if (type == updates_internal::kModuleNote) {
      ++module_notes;
      const std::uint32_t kind = reader.Integer();
      module.update_name_ = reader.String();
      if (!reader.ok() ||
          !updates_internal::IsUpdateName(module.update_name_.data(),
                                          module.update_name_.size())) {
        error = refuse("has a damaged note", kRebuild);
      } else if (kind == updates_internal::kPlanKind) {
        module.kind_ = ModuleKind::kPlan;
      } else if (kind == updates_internal::kCPlanKind) {
        module.kind_ = ModuleKind::kCPlan;
      } else if (kind == updates_internal::kThreadUpdatesKind) {
        module.kind_ = ModuleKind::kThreadUpdates;
      } else if (kind == updates_internal::kGeneratedKind) {
        module.kind_ = ModuleKind::kGenerated;
      } else {
        error = refuse(absl::StrCat("is of the unknown kind ", kind), kRebuild);
      }
    } else if (type == updates_internal::kProgramNote) {
      ++program_notes;
      const std::uint32_t count = reader.Integer();
      module.program_name_ = reader.String();
      module.program_build_id_ = reader.String();
      for (std::uint32_t i = 0; i < count && i < kMaxRequired && reader.ok();
           ++i) {
        RequiredModule required;
        required.update_name = reader.String();
        required.soname = reader.String();
        module.requires_.push_back(std::move(required));
      }
      if (!reader.ok() || count > kMaxRequired) {
        error = refuse("has a damaged note", kRebuild);
      }
    }
  });
  INSTAR_RETURN_IF_ERROR(error);
  if (module_notes == 0) {
    return refuse("has no INSTAR_UPDATE_MODULE",
                  "; put one into one of its sources "
                  "(updates/update_module.h)");
  }
  if (module_notes > 1 || program_notes > 1) {
    return refuse("has several notes of one type", kRebuild);
  }
  if (program_notes == 0) {
    return refuse("does not say which program it was built for", kRebuild);
  }
  if (image->wants_executable_stack()) {
    return refuse("makes the program's stacks executable",
                  "; an assembly source lacks .section "
                  ".note.GNU-stack,\"\",@progbits, or "
                  "the linker was given -z execstack or --no-gnu-stack");
  }
  if (module.kind_ != ModuleKind::kGenerated) {
    const std::optional<Elf64_Sym> entry =
        image->FindDefined(updates_internal::kEntrySymbol);
    if (!entry.has_value() || entry->st_size != sizeof(UpdateModuleEntry)) {
      return refuse("does not export instar_update_module",
                    "; do not hide it by a version script or by stripping");
    }
  }
  if (IsUnfinished(image->soname())) {
    return refuse("was linked, and not checked",
                  "; load the module that update_module makes of it: without "
                  "_linked in its name, in the same folder");
  }
  if (!IsSoname(image->soname())) {
    return refuse("has no DT_SONAME that tells its builds apart", kRebuild);
  }
  module.soname_ = std::string(image->soname());
  if (module.kind_ == ModuleKind::kGenerated) {
    const absl::Status movable = manager_internal::CheckMovable(*image);
    if (!movable.ok()) return refuse(movable.message(), "");
    module.image_ = std::make_shared<const ElfImage>(*std::move(image));
    absl::StatusOr<GeneratedTables> tables =
        GeneratedTables::Read(*module.image_);
    if (!tables.ok()) return refuse(tables.status().message(), "");
    module.tables_ =
        std::make_shared<const GeneratedTables>(*std::move(tables));
  } else {
    module.image_ = std::make_shared<const ElfImage>(*std::move(image));
  }
  module.file_ = std::make_shared<const FileDescriptor>(std::move(file));
  return module;
}

absl::Status ModuleReader::ForEach(
    const std::string& path, FileDescriptor file,
    absl::FunctionRef<absl::Status(ModuleFile, bool is_bundled)> visit) {
  INSTAR_ASSIGN_OR_RETURN(const std::size_t size, CheckFile(path, file));
  if (!manager_internal::IsBundle(file.number())) {
    INSTAR_ASSIGN_OR_RETURN(ModuleFile module,
                            Read(path, std::move(file), size));
    return visit(std::move(module), /*is_bundled=*/false);
  }
  const auto parts = manager_internal::FindBundleParts(file.number(), size);
  if (!parts.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " cannot be loaded: it ", parts.status().message()));
  }
  for (const BundlePart& part : *parts) {
    INSTAR_ASSIGN_OR_RETURN(FileDescriptor copy, CopyPart(file, part, path));
    INSTAR_ASSIGN_OR_RETURN(ModuleFile module,
                            Read(path, std::move(copy), part.size));
    INSTAR_RETURN_IF_ERROR(visit(std::move(module), /*is_bundled=*/true));
  }
  return absl::OkStatus();
}

namespace {

// Whether a module of a bundle is for the program of this build, or for a build
// of a shared object that it has loaded.
bool IsFor(const ModuleFile& module, const std::string& build_id) {
  if (build_id.empty()) return false;
  return module.program_build_id() == build_id ||
         (module.kind() == ModuleKind::kGenerated && build_id == OwnBuildId() &&
          IsLoadedBuild(module.program_build_id()));
}

}  // namespace

absl::StatusOr<ModuleFile> ReadModuleFile(const std::string& path,
                                          const std::string& build_id) {
  INSTAR_ASSIGN_OR_RETURN(FileDescriptor file, OpenFile(path));
  return ReadOpenModuleFile(path, std::move(file), build_id);
}

absl::StatusOr<ModuleFile> ReadOpenModuleFile(const std::string& path,
                                              FileDescriptor file,
                                              const std::string& build_id) {
  std::optional<ModuleFile> found;
  std::string program;
  std::vector<std::string> builds;
  INSTAR_RETURN_IF_ERROR(ModuleReader::ForEach(
      path, std::move(file), [&](ModuleFile module, bool is_bundled) {
        builds.push_back(module.program_build_id());
        program = module.program_name();
        if (!is_bundled || IsFor(module, build_id)) found = std::move(module);
        return absl::OkStatus();
      }));
  if (found.has_value()) return *std::move(found);
  return absl::FailedPreconditionError(absl::StrCat(
      "the bundle ", path, " has no module for this build",
      build_id.empty()
          ? " (which has no build id)"
          : absl::StrCat(" (", build_id.substr(0, kShownOfBuild), ")"),
      "; it has them for these builds of ", program, ": ", Listed(builds),
      "; build one for this, and make the bundle anew with it (instarctl "
      "bundle)"));
}

absl::StatusOr<std::vector<ModuleFile>> ReadAllModules(
    const std::string& path) {
  INSTAR_ASSIGN_OR_RETURN(FileDescriptor file, OpenFile(path));
  std::vector<ModuleFile> all;
  bool is_bundle = false;
  INSTAR_RETURN_IF_ERROR(ModuleReader::ForEach(
      path, std::move(file), [&](ModuleFile module, bool is_bundled) {
        is_bundle = is_bundled;
        all.push_back(std::move(module));
        return absl::OkStatus();
      }));
  if (is_bundle) INSTAR_RETURN_IF_ERROR(manager_internal::CheckBundled(all));
  return all;
}

namespace manager_internal {

absl::Status CheckBundled(const std::vector<ModuleFile>& modules) {
  const auto refuse = [](const ModuleFile& one, absl::string_view reason) {
    return absl::InvalidArgumentError(
        absl::StrCat(one.path(), " cannot be bundled: ", reason));
  };
  for (const ModuleFile& one : modules) {
    const ModuleFile& first = modules.front();
    if (one.program_build_id().empty()) {
      return refuse(one,
                    "it does not say for which build of which program it is; "
                    "give its update_module the attribute `program`");
    }
    if (one.update_name() != first.update_name() ||
        one.program_name() != first.program_name()) {
      return refuse(
          one, absl::StrCat("it is update '", one.update_name(), "' of ",
                            one.program_name(), ", and ", first.path(), " is '",
                            first.update_name(), "' of ", first.program_name(),
                            "; a bundle is of one update of one "
                            "program"));
    }
    for (const ModuleFile* other = &first; other != &one; ++other) {
      if (other->program_build_id() != one.program_build_id()) continue;
      return refuse(
          one, absl::StrCat("it is for build ",
                            one.program_build_id().substr(0, kShownOfBuild),
                            ", and so is ", other->path()));
    }
  }
  return absl::OkStatus();
}

}  // namespace manager_internal
}  // namespace instar

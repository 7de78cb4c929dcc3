// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/enabled/enabled_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "manager/enabled/enabled_folders.h"
#include "manager/module/module_file.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace {

using manager_internal::FileDescriptor;
using manager_internal::MakeTrustedFolder;
using manager_internal::OpenTrustedFile;
using manager_internal::OpenTrustedFolder;
using manager_internal::TrustedFileMode;
using nlohmann::json;
using std::chrono::nanoseconds;
using std::chrono::system_clock;

constexpr char kList[] = "enabled.json";
constexpr int kFormat = 1;
constexpr std::size_t kDigestInNames = 16;  // digits

bool IsFileName(absl::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 128 &&
         name.find('/') == absl::string_view::npos &&
         name.find('\0') == absl::string_view::npos;
}

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isxdigit(static_cast<unsigned char>(c));
  });
}

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path));
}

absl::StatusOr<std::string> ReadAll(int file, const std::string& path) {
  std::string contents;
  char part[1 << 14];
  while (true) {
    const ssize_t length = read(file, part, sizeof(part));
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return Failed("read", path);
    if (length == 0) return contents;
    contents.append(part, static_cast<std::size_t>(length));
  }
}

// A file that gets its name at the end, or never.
class NewFile {
 public:
  static absl::StatusOr<NewFile> Make(const std::string& folder) {
    NewFile result;
    result.path_ = absl::StrCat(folder, "/new.", getpid());
    unlink(result.path_.c_str());  // left by a process that had this number
    result.file_ = FileDescriptor(open(result.path_.c_str(),
                                       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                                       TrustedFileMode()));
    if (result.file_.number() < 0) return Failed("write", result.path_);
    // Whatever the umask is.
    if (fchmod(result.file_.number(), TrustedFileMode()) != 0) {
      return Failed("write", result.path_);
    }
    return result;
  }
  NewFile(NewFile&& other) noexcept
      : path_(std::exchange(other.path_, "")), file_(std::move(other.file_)) {}
  ~NewFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }

  absl::Status Write(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t length = write(file_.number(), bytes.data(), bytes.size());
      if (length < 0 && errno == EINTR) continue;
      if (length <= 0) return Failed("write", path_);
      bytes.remove_prefix(static_cast<std::size_t>(length));
    }
    return absl::OkStatus();
  }

  absl::Status Name(const std::string& path) {
    if (fsync(file_.number()) != 0 ||
        rename(path_.c_str(), path.c_str()) != 0) {
      return Failed("write", path);
    }
    path_.clear();
    return absl::OkStatus();
  }

  int number() const { return file_.number(); }
  const std::string& path() const { return path_; }

 private:
  NewFile() = default;

  std::string path_;  // empty: it has its name, or is moved from
  FileDescriptor file_;
};

// Of the folder, by those who change what is in it. Given up with the file.
absl::Status Lock(const FileDescriptor& folder, const std::string& path) {
  while (flock(folder.number(), LOCK_EX) != 0) {
    if (errno != EINTR) return Failed("lock", path);
  }
  return absl::OkStatus();
}

json ToJson(const EnabledUpdate& update) {
  return {{"update", update.update},
          {"builds", update.builds},
          {"digest", update.digest},
          {"file", update.path.substr(update.path.rfind('/') + 1)},
          {"enabled", std::chrono::duration_cast<nanoseconds>(
                          update.enabled.time_since_epoch())
                          .count()}};
}

// Of an update that this function does not accept, nothing is used.
std::optional<EnabledUpdate> FromJson(const json& entry,
                                      const std::string& program,
                                      const std::string& folder) {
  EnabledUpdate update;
  update.program = program;
  std::string file;
  std::int64_t enabled = 0;
  try {
    entry.at("update").get_to(update.update);
    entry.at("builds").get_to(update.builds);
    entry.at("digest").get_to(update.digest);
    entry.at("file").get_to(file);
    entry.at("enabled").get_to(enabled);
  } catch (const json::exception&) {
    return std::nullopt;
  }
  if (!IsFileName(update.update) || !IsFileName(file) ||
      update.digest.size() != 64 || !IsHex(update.digest) ||
      !std::all_of(update.builds.begin(), update.builds.end(), IsHex)) {
    return std::nullopt;
  }
  update.path = absl::StrCat(folder, "/", file);
  update.enabled = system_clock::time_point(
      std::chrono::duration_cast<system_clock::duration>(nanoseconds(enabled)));
  update.id = absl::StrCat(update.digest.substr(0, kDigestInNames), "-",
                           absl::Hex(enabled));
  return update;
}

bool IsSubset(const std::vector<std::string>& some,
              const std::vector<std::string>& all) {
  return std::all_of(some.begin(), some.end(), [&](const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  });
}

// Whether the store makes files of such names: not everything in a folder is
// ours, if somebody names a wrong one.
bool IsOurs(absl::string_view name) {
  if (absl::ConsumePrefix(&name, "new.")) {
    return std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isdigit(static_cast<unsigned char>(c));
    });
  }
  absl::ConsumeSuffix(&name, ".new");
  if (absl::EndsWith(name, ".left_out")) return true;
  return absl::ConsumeSuffix(&name, ".so") && name.size() > kDigestInNames &&
         name[name.size() - kDigestInNames - 1] == '.' &&
         IsHex(name.substr(name.size() - kDigestInNames));
}

// What the store has made and nothing needs any more: files of updates that are
// enabled no longer, or were never named; marks of what was enabled before.
void ClearAway(const std::string& folder,
               const std::vector<EnabledUpdate>& all) {
  const std::unique_ptr<DIR, int (*)(DIR*)> files(opendir(folder.c_str()),
                                                  &closedir);
  if (files == nullptr) return;
  while (const dirent* const entry = readdir(files.get())) {
    const std::string path = absl::StrCat(folder, "/", entry->d_name);
    const absl::string_view name = entry->d_name;
    if (!IsOurs(name)) continue;
    const bool is_needed =
        std::any_of(all.begin(), all.end(), [&](const EnabledUpdate& update) {
          return path == update.path ||
                 name.find(absl::StrCat(".", update.id, ".")) != name.npos;
        });
    if (!is_needed) unlink(path.c_str());
  }
}

}  // namespace

bool EnabledUpdate::IsFor(const std::string& build_id) const {
  return !build_id.empty() &&
         std::find(builds.begin(), builds.end(), build_id) != builds.end();
}

EnabledStore::EnabledStore(std::string folder, std::string program)
    : folder_(std::move(folder)),
      program_(std::move(program)),
      path_(absl::StrCat(folder_, "/", program_)) {}

absl::Status EnabledStore::CheckName() const {
  if (folder_.empty()) {
    return absl::FailedPreconditionError(
        "this user has no folder in which updates are kept; set $HOME, "
        "$XDG_STATE_HOME or $INSTAR_STATE_DIRECTORY to an absolute path");
  }
  if (IsFileName(program_)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", program_, "\" is no name of a program"));
}

absl::StatusOr<std::vector<EnabledUpdate>> EnabledStore::List() const {
  INSTAR_RETURN_IF_ERROR(CheckName());
  std::vector<EnabledUpdate> all;
  std::string contents;
  const std::string path = absl::StrCat(path_, "/", kList);
  for (const std::string& folder : {folder_, path_}) {
    const absl::Status opened = OpenTrustedFolder(folder).status();
    if (absl::IsNotFound(opened)) return all;
    INSTAR_RETURN_IF_ERROR(opened);
  }
  {
    const absl::StatusOr<FileDescriptor> file = OpenTrustedFile(path);
    if (absl::IsNotFound(file.status())) return all;
    INSTAR_RETURN_IF_ERROR(file.status());
    INSTAR_ASSIGN_OR_RETURN(contents, ReadAll(file->number(), path));
  }
  const auto refuse = [&](absl::string_view reason) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " ", reason, "; remove it, and enable the updates anew"));
  };
  const json list = json::parse(contents, nullptr, /*allow_exceptions=*/false);
  if (!list.is_object() || !list.contains("format") ||
      !list["format"].is_number_integer()) {
    return refuse("is damaged");
  }
  if (list["format"] != kFormat) {
    return refuse(absl::StrCat("is of another Instar (format ",
                               list["format"].dump(), ", and this one reads ",
                               kFormat, ")"));
  }
  if (!list.contains("updates") || !list["updates"].is_array()) {
    return refuse("is damaged");
  }
  for (const json& entry : list["updates"]) {
    std::optional<EnabledUpdate> update = FromJson(entry, program_, path_);
    if (!update.has_value()) return refuse("is damaged");
    all.push_back(*std::move(update));
  }
  return all;
}

absl::Status EnabledStore::Write(const std::vector<EnabledUpdate>& all,
                                 int folder) const {
  json list = {{"format", kFormat}, {"updates", json::array()}};
  for (const EnabledUpdate& update : all) {
    list["updates"].push_back(ToJson(update));
  }
  INSTAR_ASSIGN_OR_RETURN(NewFile file, NewFile::Make(path_));
  INSTAR_RETURN_IF_ERROR(file.Write(list.dump(2) + "\n"));
  INSTAR_RETURN_IF_ERROR(file.Name(absl::StrCat(path_, "/", kList)));
  if (fsync(folder) != 0) return Failed("write", path_);
  ClearAway(path_, all);
  return absl::OkStatus();
}

absl::StatusOr<EnabledUpdate> EnabledStore::Enable(
    const std::string& module) const {
  INSTAR_RETURN_IF_ERROR(CheckName());
  // Errors name this file, and not the copy.
  INSTAR_RETURN_IF_ERROR(ReadAllModules(module).status());
  INSTAR_RETURN_IF_ERROR(MakeTrustedFolder(folder_).status());
  INSTAR_ASSIGN_OR_RETURN(const FileDescriptor folder,
                          MakeTrustedFolder(path_));
  INSTAR_RETURN_IF_ERROR(Lock(folder, path_));
  INSTAR_ASSIGN_OR_RETURN(std::vector<EnabledUpdate> all, List());

  INSTAR_ASSIGN_OR_RETURN(NewFile copy, NewFile::Make(path_));
  {
    const FileDescriptor original(open(module.c_str(), O_RDONLY | O_CLOEXEC));
    if (original.number() < 0) return Failed("open", module);
    INSTAR_ASSIGN_OR_RETURN(const std::string bytes,
                            ReadAll(original.number(), module));
    INSTAR_RETURN_IF_ERROR(copy.Write(bytes));
  }
  // What is enabled is what was copied, whatever has become of the original.
  INSTAR_ASSIGN_OR_RETURN(const std::vector<ModuleFile> modules,
                          ReadAllModules(copy.path()));
  EnabledUpdate update;
  update.program = program_;
  update.update = modules.front().update_name();
  for (const ModuleFile& each : modules) {
    if (each.program_build_id().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(module,
                       " does not say for which program it was built; give its "
                       "update_module the attribute `program`"));
    }
    update.builds.push_back(each.program_build_id());
  }
  INSTAR_ASSIGN_OR_RETURN(update.digest, Sha256OfFile(copy.number()));
  update.path = absl::StrCat(path_, "/", update.update, ".",
                             update.digest.substr(0, kDigestInNames), ".so");
  update.enabled = system_clock::now();
  INSTAR_RETURN_IF_ERROR(copy.Name(update.path));

  const auto is_replaced = [&](const EnabledUpdate& other) {
    return other.update == update.update &&
           IsSubset(other.builds, update.builds);
  };
  const auto first = std::find_if(all.begin(), all.end(), is_replaced);
  const auto place = first - all.begin();
  all.erase(std::remove_if(first, all.end(), is_replaced), all.end());
  // With the number by which its marks are known.
  update = *FromJson(ToJson(update), program_, path_);
  all.insert(all.begin() + place, update);
  INSTAR_RETURN_IF_ERROR(Write(all, folder.number()));
  return update;
}

absl::Status EnabledStore::Disable(const std::string& update) const {
  INSTAR_RETURN_IF_ERROR(CheckName());
  const absl::StatusOr<FileDescriptor> folder = OpenTrustedFolder(path_);
  if (folder.ok()) INSTAR_RETURN_IF_ERROR(Lock(*folder, path_));
  INSTAR_ASSIGN_OR_RETURN(std::vector<EnabledUpdate> all, List());
  const auto is_it = [&](const EnabledUpdate& other) {
    return other.update == update;
  };
  if (std::none_of(all.begin(), all.end(), is_it)) {
    return absl::NotFoundError(absl::StrCat(
        "no update '", update, "' of ", program_, " is enabled in ", folder_,
        all.empty() ? "" : "; there is ",
        absl::StrJoin(all, ", ",
                      [](std::string* out, const EnabledUpdate& other) {
                        out->append(other.update);
                      })));
  }
  all.erase(std::remove_if(all.begin(), all.end(), is_it), all.end());
  return Write(all, folder->number());
}

absl::StatusOr<std::vector<std::string>> EnabledStore::Programs(
    const std::string& folder) {
  std::vector<std::string> names;
  if (folder.empty()) return names;
  absl::StatusOr<FileDescriptor> opened = OpenTrustedFolder(folder);
  if (absl::IsNotFound(opened.status())) return names;
  INSTAR_RETURN_IF_ERROR(opened.status());
  const std::unique_ptr<DIR, int (*)(DIR*)> all(fdopendir(opened->number()),
                                                &closedir);
  if (all == nullptr) return Failed("read", folder);
  static_cast<void>(opened->Release());
  while (const dirent* const entry = readdir(all.get())) {
    const std::string name = entry->d_name;
    struct stat list;
    if (IsFileName(name) &&
        stat(absl::StrCat(folder, "/", name, "/", kList).c_str(), &list) == 0) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status CheckEnabledFile(const EnabledUpdate& update) {
  const absl::StatusOr<FileDescriptor> file = OpenTrustedFile(update.path);
  INSTAR_RETURN_IF_ERROR(file.status());
  INSTAR_ASSIGN_OR_RETURN(const std::string digest,
                          Sha256OfFile(file->number()));
  if (digest == update.digest) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      update.path,
      " is damaged, or not the file that was enabled: its SHA-256 "
      "digest is ",
      digest.substr(0, kDigestInNames), "... and not ",
      update.digest.substr(0, kDigestInNames), "...; enable the update anew"));
}

}  // namespace instar

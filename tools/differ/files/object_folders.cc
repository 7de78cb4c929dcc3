// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/object_folders.h"

#include <elf.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "tools/differ/files/archive.h"
#include "tools/differ/files/mapped_file.h"

namespace instar {
namespace differ {
namespace {

namespace fs = std::filesystem;

// Others may lie there, too: of another processor, as for BPF, or bitcode.
bool IsObject(absl::string_view bytes) {
  Elf64_Ehdr header;
  if (bytes.size() < sizeof(header)) return false;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
         header.e_type == ET_REL && header.e_machine == EM_X86_64;
}

// What two builds have, in one of them: contents by name.
using Contents = std::map<std::string, absl::string_view>;

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  const Contents& objects() const { return objects_; }

  // All objects and static libraries below. A folder to which links lead counts
  // once, by its own name if it is below, too.
  absl::Status AddAll() {
    std::set<std::string> links = {path_};
    while (!links.empty()) {
      const std::string next = *links.begin();
      links.erase(links.begin());
      INSTAR_RETURN_IF_ERROR(AddBelow(next, links));
    }
    return absl::OkStatus();
  }

  // The object, or the objects of a static library, of this name. What is
  // found, and not asked for, may be something else.
  absl::Status Add(const std::string& name, bool is_found) {
    const std::optional<MemberPath> member = SplitMemberPath(name);
    const std::string file = member ? member->archive : name;
    INSTAR_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> mapped,
                            MappedFile::Read(absl::StrCat(path_, "/", file)));
    files_.push_back(mapped);
    if (!is_found && IsThinArchive(mapped->bytes())) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, "/", file,
                       " is a thin archive, which names its objects and does "
                       "not hold them: give those"));
    }
    if (!absl::EndsWith(file, ".a")) {
      if (!is_found || IsObject(mapped->bytes())) {
        objects_[name] = mapped->bytes();
      }
      return absl::OkStatus();
    }
    const absl::StatusOr<std::vector<ArchiveMember>> members =
        MembersOf(mapped->bytes());
    if (!members.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, "/", file, " ", members.status().message()));
    }
    for (const ArchiveMember& one : *members) {
      if ((!member || one.name == member->member) && IsObject(one.bytes)) {
        objects_[JoinMemberPath(file, one.name)] = one.bytes;
      }
    }
    return absl::OkStatus();
  }

 private:
  // `links`: gets those that lead to folders.
  absl::Status AddBelow(const fs::path& folder, std::set<std::string>& links) {
    std::error_code error;
    struct stat status;
    if (stat(folder.c_str(), &status) != 0) {
      error = std::error_code(errno, std::generic_category());
    } else if (!seen_.emplace(status.st_dev, status.st_ino).second) {
      return absl::OkStatus();
    }
    if (!error) {
      for (fs::directory_iterator at(folder, error);
           !error && at != fs::directory_iterator(); at.increment(error)) {
        const std::string& path = at->path().native();
        // Of a link to nothing it is false, too.
        std::error_code ignored;
        if (at->is_directory(ignored)) {
          if (at->is_symlink(ignored)) {
            links.insert(path);
          } else {
            INSTAR_RETURN_IF_ERROR(AddBelow(path, links));
          }
        } else if (at->is_regular_file(ignored) &&
                   (absl::EndsWith(path, ".o") || absl::EndsWith(path, ".a"))) {
          INSTAR_RETURN_IF_ERROR(
              Add(at->path().lexically_relative(path_).native(),
                  /*is_found=*/true));
        }
      }
    }
    if (!error) return absl::OkStatus();
    return absl::NotFoundError(
        absl::StrCat(folder.native(), " cannot be read: ", error.message()));
  }

  std::string path_;
  std::set<std::pair<dev_t, ino_t>> seen_;  // folders
  std::vector<std::shared_ptr<const MappedFile>> files_;
  Contents objects_;
};

const absl::string_view* Find(const Contents& objects,
                              const std::string& name) {
  const auto found = objects.find(name);
  return found == objects.end() ? nullptr : &found->second;
}

// Without folders, and without the number of a member.
std::string BaseName(const std::string& name) {
  const std::optional<MemberPath> member = SplitMemberPath(name);
  if (member) return member->member.substr(0, member->member.find('#'));
  return name.substr(name.rfind('/') + 1);
}

// Members of static libraries lie beside them as files, as a rule, which have
// been given already.
void DropKnownMembers(std::set<std::string>& names, const Contents& old_objects,
                      const Contents& new_objects) {
  std::multimap<std::string, std::string> files;
  for (const std::string& name : names) {
    if (!SplitMemberPath(name)) files.emplace(BaseName(name), name);
  }
  const auto is_same = [](const Contents& objects, const std::string& a,
                          const std::string& b) {
    const absl::string_view* of_a = Find(objects, a);
    const absl::string_view* of_b = Find(objects, b);
    return of_a == nullptr || of_b == nullptr ? of_a == of_b : *of_a == *of_b;
  };
  for (auto name = names.begin(); name != names.end();) {
    const auto same = files.equal_range(BaseName(*name));
    const bool is_known =
        SplitMemberPath(*name).has_value() &&
        std::any_of(same.first, same.second, [&](const auto& file) {
          return is_same(old_objects, *name, file.second) &&
                 is_same(new_objects, *name, file.second);
        });
    name = is_known ? names.erase(name) : std::next(name);
  }
}

// Whether both have the same contents. False for what cannot be read, which
// reading it will say.
bool IsIdentical(const std::string& a, const std::string& b) {
  const auto file_a = MappedFile::Read(a);
  const auto file_b = MappedFile::Read(b);
  return file_a.ok() && file_b.ok() && (*file_a)->bytes() == (*file_b)->bytes();
}

}  // namespace

absl::StatusOr<std::vector<NamedObject>> ParseNamedObjects(
    const std::vector<std::string>& options) {
  std::vector<NamedObject> objects;
  for (const std::string& option : options) {
    const std::size_t equals = option.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(option, " is no pair: a name, `=`, and a path"));
    }
    objects.push_back({option.substr(0, equals), option.substr(equals + 1)});
  }
  return objects;
}

bool IsAmong(const std::vector<std::string>& patterns,
             const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) {
                       return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
                     });
}

std::vector<ObjectFiles> Without(const std::vector<std::string>& patterns,
                                 std::vector<ObjectFiles> files) {
  const auto is_excluded = [&](const ObjectFiles& one) {
    return IsAmong(patterns, one.name);
  };
  files.erase(std::remove_if(files.begin(), files.end(), is_excluded),
              files.end());
  return files;
}

std::vector<ObjectFiles> MatchObjects(
    const std::vector<NamedObject>& old_objects,
    const std::vector<NamedObject>& new_objects) {
  std::map<std::string, ObjectFiles> by_name;
  for (const NamedObject& object : old_objects) {
    by_name[object.name].old_path = object.path;
  }
  for (const NamedObject& object : new_objects) {
    by_name[object.name].new_path = object.path;
  }
  std::vector<ObjectFiles> result;
  for (auto& entry : by_name) {
    entry.second.name = entry.first;
    entry.second.is_identical =
        !entry.second.old_path.empty() && !entry.second.new_path.empty() &&
        IsIdentical(entry.second.old_path, entry.second.new_path);
    result.push_back(std::move(entry.second));
  }
  return result;
}

absl::StatusOr<std::vector<ObjectFiles>> FindObjects(
    const std::string& old_folder, const std::string& new_folder,
    const std::vector<std::string>& names) {
  const std::string folders =
      old_folder == new_folder ? old_folder
                               : absl::StrCat(old_folder, " or ", new_folder);
  Folder old_build(old_folder);
  Folder new_build(new_folder);
  for (Folder* build : {&old_build, &new_build}) {
    if (names.empty()) INSTAR_RETURN_IF_ERROR(build->AddAll());
    for (const std::string& name : names) {
      const absl::Status status = build->Add(name, /*is_found=*/false);
      if (!status.ok() && !absl::IsNotFound(status)) return status;
    }
  }
  std::set<std::string> all;
  for (const Folder* build : {&old_build, &new_build}) {
    for (const auto& object : build->objects()) all.insert(object.first);
  }
  for (const std::string& name : names) {
    const auto is_of = [&](const std::string& object) {
      return object == name || absl::StartsWith(object, name + "(");
    };
    if (std::none_of(all.begin(), all.end(), is_of)) {
      return absl::NotFoundError(absl::StrCat(name, " is not in ", folders));
    }
  }
  if (all.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no objects (*.o, *.a) below ", folders));
  }
  DropKnownMembers(all, old_build.objects(), new_build.objects());
  std::vector<ObjectFiles> result;
  for (const std::string& name : all) {
    ObjectFiles files;
    files.name = name;
    const absl::string_view* of_old = Find(old_build.objects(), name);
    const absl::string_view* of_new = Find(new_build.objects(), name);
    if (of_old != nullptr) files.old_path = absl::StrCat(old_folder, "/", name);
    if (of_new != nullptr) files.new_path = absl::StrCat(new_folder, "/", name);
    files.is_identical =
        of_old != nullptr && of_new != nullptr && *of_old == *of_new;
    result.push_back(std::move(files));
  }
  return result;
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/object_folders.h"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace instar {
namespace differ {
namespace {

namespace fs = std::filesystem;

absl::Status AddObjectsIn(const std::string& folder,
                          std::set<std::string>& names) {
  std::error_code error;
  fs::recursive_directory_iterator at(
      folder, fs::directory_options::follow_directory_symlink, error);
  if (error) {
    return absl::NotFoundError(
        absl::StrCat(folder, " cannot be read: ", error.message()));
  }
  for (; at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (error) break;
    if (absl::EndsWith(at->path().native(), ".o") && !at->is_directory(error)) {
      names.insert(fs::path(at->path()).lexically_relative(folder).native());
    }
  }
  if (!error) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat(folder, " cannot be read: ", error.message()));
}

// Whether both have the same contents. False for what cannot be read, which
// reading it will say.
bool IsIdentical(const std::string& a, const std::string& b) {
  std::error_code error;
  if (fs::file_size(a, error) != fs::file_size(b, error) || error) return false;
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  const File file_a(std::fopen(a.c_str(), "re"), &std::fclose);
  const File file_b(std::fopen(b.c_str(), "re"), &std::fclose);
  if (file_a == nullptr || file_b == nullptr) return false;
  std::vector<char> of_a(1 << 16);
  std::vector<char> of_b(1 << 16);
  while (true) {
    const std::size_t read =
        std::fread(of_a.data(), 1, of_a.size(), file_a.get());
    if (std::fread(of_b.data(), 1, of_b.size(), file_b.get()) != read ||
        std::memcmp(of_a.data(), of_b.data(), read) != 0) {
      return false;
    }
    if (read < of_a.size()) {
      return std::feof(file_a.get()) != 0 && std::feof(file_b.get()) != 0;
    }
  }
}

}  // namespace

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
  std::set<std::string> all(names.begin(), names.end());
  if (names.empty()) {
    INSTAR_RETURN_IF_ERROR(AddObjectsIn(old_folder, all));
    INSTAR_RETURN_IF_ERROR(AddObjectsIn(new_folder, all));
    if (all.empty()) {
      return absl::NotFoundError(absl::StrCat("no objects (*.o) below ",
                                              old_folder, " and ", new_folder));
    }
  }
  std::vector<ObjectFiles> result;
  for (const std::string& name : all) {
    ObjectFiles files;
    files.name = name;
    std::error_code error;
    const std::string old_path = absl::StrCat(old_folder, "/", name);
    const std::string new_path = absl::StrCat(new_folder, "/", name);
    if (fs::exists(old_path, error)) files.old_path = old_path;
    if (fs::exists(new_path, error)) files.new_path = new_path;
    if (files.old_path.empty() && files.new_path.empty()) {
      return absl::NotFoundError(absl::StrCat(
          name, " is neither in ", old_folder, " nor in ", new_folder));
    }
    files.is_identical = !files.old_path.empty() && !files.new_path.empty() &&
                         IsIdentical(files.old_path, files.new_path);
    result.push_back(std::move(files));
  }
  return result;
}

}  // namespace differ
}  // namespace instar

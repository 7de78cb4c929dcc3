// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/enabled.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "manager/control/socket_directory.h"
#include "manager/enabled/enabled_folders.h"
#include "manager/enabled/enabled_store.h"
#include "manager/enabled/start_mark.h"
#include "manager/module/module_bundle.h"
#include "manager/module/module_file.h"

namespace instar {
namespace instarctl {
namespace {

constexpr std::size_t kShownOfBuild = 12;  // digits

// That of the process of this number, if it is one; `program` otherwise.
absl::StatusOr<std::string> NameOf(const std::string& program) {
  if (program.find_first_not_of("0123456789") != std::string::npos ||
      program.empty()) {
    return program;
  }
  INSTAR_ASSIGN_OR_RETURN(const std::vector<RunningProgram> running,
                          FindPrograms());
  for (const RunningProgram& each : running) {
    if (absl::StrCat(each.pid) == program) return each.name;
  }
  return absl::NotFoundError(absl::StrCat(
      "no program of the number ", program,
      " that can be updated is running; name the program by --program NAME"));
}

std::string Builds(const std::vector<std::string>& builds) {
  return absl::StrCat(
      builds.size() == 1 ? "build " : "builds ",
      absl::StrJoin(builds, ", ", [](std::string* out, const auto& build) {
        out->append(build.substr(0, kShownOfBuild));
      }));
}

std::string RequiredBy(const ModuleFile& module,
                       const std::vector<EnabledUpdate>& all) {
  for (const RequiredModule& required : module.required_modules()) {
    const bool is_before =
        std::any_of(all.begin(), all.end(), [&](const EnabledUpdate& update) {
          return update.update == required.update_name &&
                 update.IsFor(module.program_build_id());
        });
    if (!is_before) return required.update_name;
  }
  return "";
}

}  // namespace

absl::StatusOr<Lines> Enable(const std::string& module_path,
                             const std::string& program) {
  const EnabledFolders folders = EnabledFolders::FromEnvironment();
  INSTAR_ASSIGN_OR_RETURN(const std::vector<ModuleFile> modules,
                          ReadAllModules(module_path));
  INSTAR_ASSIGN_OR_RETURN(std::string name, NameOf(program));
  if (name.empty()) name = modules.front().program_name();
  if (name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(module_path,
                     " does not say for which program it was built; give its "
                     "update_module the attribute `program`"));
  }
  const EnabledStore store(folders.own, name);
  INSTAR_ASSIGN_OR_RETURN(const EnabledUpdate enabled,
                          store.Enable(module_path));
  Lines lines = {absl::StrCat(enabled.update, " is enabled: applied whenever ",
                              name, ", ", Builds(enabled.builds), ", starts")};
  // Not the updates behind it.
  INSTAR_ASSIGN_OR_RETURN(std::vector<EnabledUpdate> before, store.List());
  before.erase(std::find_if(before.begin(), before.end(),
                            [&](const EnabledUpdate& each) {
                              return each.id == enabled.id;
                            }),
               before.end());
  for (const ModuleFile& module : modules) {
    const std::string missing = RequiredBy(module, before);
    if (missing.empty()) continue;
    lines.push_back(
        absl::StrCat("  it requires update '", missing,
                     "', which is not enabled before it "
                     "for build ",
                     module.program_build_id().substr(0, kShownOfBuild),
                     "; enable that, and then this one again"));
  }
  return lines;
}

absl::StatusOr<Lines> Disable(const std::string& update,
                              const std::string& program) {
  const EnabledFolders folders = EnabledFolders::FromEnvironment();
  INSTAR_ASSIGN_OR_RETURN(std::string name, NameOf(program));
  if (name.empty()) {
    INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                            EnabledStore::Programs(folders.own));
    std::vector<std::string> found;
    for (const std::string& each : names) {
      INSTAR_ASSIGN_OR_RETURN(const std::vector<EnabledUpdate> all,
                              EnabledStore(folders.own, each).List());
      const bool has_it = std::any_of(
          all.begin(), all.end(),
          [&](const EnabledUpdate& other) { return other.update == update; });
      if (has_it) found.push_back(each);
    }
    if (found.size() > 1) {
      return absl::FailedPreconditionError(absl::StrCat(
          "'", update, "' is enabled for several programs: ",
          absl::StrJoin(found, ", "), "; choose one by --program NAME"));
    }
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat(
          "no update '", update, "' is enabled",
          folders.own.empty() ? "" : absl::StrCat(" in ", folders.own),
          "; instarctl list shows those that are"));
    }
    name = found.front();
  }
  INSTAR_RETURN_IF_ERROR(EnabledStore(folders.own, name).Disable(update));
  return Lines{absl::StrCat(update, " is disabled for ", name,
                            "; one that runs is as it was")};
}

absl::StatusOr<Lines> ListEnabled(const std::string& program,
                                  const Style& style) {
  EnabledFolders folders = EnabledFolders::FromEnvironment();
  folders.marks = PrepareSocketDirectory().value_or("");
  INSTAR_ASSIGN_OR_RETURN(const std::string wanted, NameOf(program));
  Lines lines;
  for (const std::string& folder : folders.All()) {
    INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                            EnabledStore::Programs(folder));
    for (const std::string& name : names) {
      if (!wanted.empty() && name != wanted) continue;
      const absl::StatusOr<std::vector<EnabledUpdate>> all =
          EnabledStore(folder, name).List();
      if (all.ok() && all->empty()) continue;
      lines.push_back(
          absl::StrCat(style.Bold(name), "  ", style.Faint(folder)));
      if (!all.ok()) {
        lines.push_back(absl::StrCat("  ", style.Bad("not applied"), ": ",
                                     all.status().message()));
        continue;
      }
      for (const EnabledUpdate& update : *all) {
        lines.push_back(absl::StrCat(
            "  ", update.update, "  ", Builds(update.builds), "  since ",
            absl::FormatTime("%Y-%m-%d %H:%M:%S",
                             absl::FromChrono(update.enabled),
                             absl::LocalTimeZone())));
        std::string why = WhyLeftOut(folders, update);
        if (!why.empty()) {
          absl::StrAppend(&why, "; enable it again for one more try");
        } else {
          why = std::string(CheckEnabledFile(update).message());
        }
        if (!why.empty()) {
          lines.push_back(
              absl::StrCat("    ", style.Bad("not applied"), ": ", why));
        }
      }
    }
  }
  if (lines.empty()) {
    lines.push_back(wanted.empty()
                        ? "no update is enabled"
                        : absl::StrCat("no update of ", wanted, " is enabled"));
  }
  return lines;
}

absl::StatusOr<Lines> MakeBundle(const std::string& output,
                                 const std::vector<std::string>& modules) {
  INSTAR_RETURN_IF_ERROR(WriteBundle(output, modules));
  INSTAR_ASSIGN_OR_RETURN(const std::vector<ModuleFile> all,
                          ReadAllModules(output));
  std::vector<std::string> builds;
  for (const ModuleFile& module : all) {
    builds.push_back(module.program_build_id());
  }
  return Lines{absl::StrCat(output, ": ", all.front().update_name(), " for ",
                            all.front().program_name(), ", ", Builds(builds))};
}

}  // namespace instarctl
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_unloader.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/linux/own_thread.h"
#include "base/status_macros.h"
#include "code/function_entry.h"
#include "manager/module/kept_modules.h"
#include "manager/module/private_copy.h"
#include "manager/module/scan/module_map.h"
#include "manager/module/scan/reference_scan.h"

namespace instar {
namespace {

using manager_internal::BoundModule;
using manager_internal::KeptModule;
using manager_internal::KeptModules;
using manager_internal::Reference;
using manager_internal::ReferenceScan;
using manager_internal::TheKeptModules;

// What the dynamic linker has of an object begins with what dlopen() returns,
// and has addresses of it: more than this of it (struct link_map of glibc).
constexpr std::uintptr_t kLinkMap = 1024;

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Forgets what was bound to others and is loaded no more.
void ForgetUnloaded(KeptModules& modules) {
  std::vector<std::string> names;
  {
    std::lock_guard<std::mutex> lock(modules.mutex);
    for (const BoundModule& one : modules.bound) {
      names.push_back(one.load_soname);
    }
  }
  // Without the lock, since the dynamic linker has one, too.
  std::vector<std::string> unloaded;
  for (const std::string& name : names) {
    if (!manager_internal::PrivateCopy::IsLoaded(name)) {
      unloaded.push_back(name);
    }
  }
  std::lock_guard<std::mutex> lock(modules.mutex);
  modules.bound.erase(std::remove_if(modules.bound.begin(), modules.bound.end(),
                                     [&](const BoundModule& one) {
                                       return Contains(unloaded,
                                                       one.load_soname);
                                     }),
                      modules.bound.end());
}

// The names of updates that go on from this module and are loaded.
struct Followers {
  std::string applied;  // or about to be
  std::string loaded;
};

Followers FollowersOf(const KeptModules& modules, const KeptModule& module) {
  Followers followers;
  for (const BoundModule& other : modules.bound) {
    if (!Contains(other.required, module.load_soname)) continue;
    const auto kept =
        std::find_if(modules.kept.begin(), modules.kept.end(),
                     [&other](const KeptModule& one) {
                       return one.load_soname == other.load_soname;
                     });
    const bool is_applied = kept == modules.kept.end() || kept->is_in_use;
    (is_applied ? followers.applied : followers.loaded) = other.update_name;
  }
  return followers;
}

absl::Status CheckUpdate(const KeptModules& modules,
                         const std::string& update) {
  bool is_known = false;
  for (const KeptModule& module : modules.kept) {
    if (module.update_name != update) continue;
    is_known = true;
    if (module.map == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          "update '", update,
          "' was not made by instar-diff, and others may have learnt of its "
          "functions and types in ways that nobody sees: its module stays "
          "loaded until the program ends"));
    }
    if (module.is_in_use) {
      return absl::FailedPreconditionError(
          absl::StrCat("update '", update,
                       "' is applied, or about to be; undo it first, by "
                       "`instarctl undo ",
                       update, "`"));
    }
    const std::string applied = FollowersOf(modules, module).applied;
    if (!applied.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "update '", applied, "', which goes on from update '", update,
          "', is applied, or about to be; undo that one first, "
          "or cancel it"));
    }
  }
  if (is_known) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("no module of an update '", update, "' is loaded"));
}

// What the scan finds. The thread that asks is one of those that are looked at.
std::optional<Reference> Run(ReferenceScan& scan,
                             const UnloadOptions& options) {
  std::optional<Reference> found;
  absl::StatusOr<std::thread> thread = StartOwnThread(
      "instar-unload", [&] { found = scan.Run(options.longest_hold); });
  if (!thread.ok())
    return Reference{{}, std::string(thread.status().message())};
  thread->join();
  return found;
}

// Why the module is kept; empty: nothing leads into it.
std::string WhyKept(const KeptModule& module, const UnloadOptions& options) {
  const std::uintptr_t base = module.load_base;
  const std::uintptr_t end = base + module.size_in_memory;
  if (module.map->has_thread_locals) {
    return "it has thread_local variables, and threads may have some";
  }
  const absl::Status used = CheckUnused(base, end);
  if (!used.ok()) return std::string(used.message());
  ReferenceScan scan({base, end});
  for (const auto& section : module.map->sections) {
    scan.Look(section.begin, section.end);
  }
  const auto linker = reinterpret_cast<std::uintptr_t>(module.handle);
  scan.LeaveOut({linker, linker + kLinkMap});
  for (const auto& memory : module.state->AddressMemory()) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory.first);
    scan.LeaveOut({at, at + memory.second});
  }
  for (const auto& memory : MemoryAbout(base, end)) {
    scan.LeaveOut({memory.first, memory.second});
  }
  const std::optional<Reference> found = Run(scan, options);
  if (!found.has_value()) return "";
  if (!found->offset.has_value()) return found->where;
  const std::string what = module.map->NameAt(*found->offset);
  return absl::StrCat(what == "__dso_handle"
                          ? "a destructor of it is registered (atexit())"
                          : absl::StrCat("something leads to ", what),
                      ": ", found->where);
}

// One that is not in use becomes so, so that nobody takes it meanwhile; the
// latest first. Nothing: there is none that has not been tried.
std::optional<KeptModule> Take(const std::string& update,
                               const std::vector<std::string>& tried,
                               std::string& follower) {
  KeptModules& modules = TheKeptModules();
  std::lock_guard<std::mutex> lock(modules.mutex);
  for (auto kept = modules.kept.rbegin(); kept != modules.kept.rend(); ++kept) {
    if (kept->update_name != update || kept->is_in_use ||
        Contains(tried, kept->load_soname)) {
      continue;
    }
    follower = FollowersOf(modules, *kept).loaded;
    kept->is_in_use = true;
    return *kept;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<UnloadReport> UnloadModules(const std::string& update,
                                           const UnloadOptions& options) {
  KeptModules& modules = TheKeptModules();
  ForgetUnloaded(modules);
  {
    std::lock_guard<std::mutex> lock(modules.mutex);
    INSTAR_RETURN_IF_ERROR(CheckUpdate(modules, update));
  }
  UnloadReport report;
  report.update = update;
  std::vector<std::string> tried;
  std::string follower;
  while (std::optional<KeptModule> module = Take(update, tried, follower)) {
    tried.push_back(module->load_soname);
    // By one that was asked for before, which the dynamic linker did not obey
    // at once.
    const bool was_closed = module->state == nullptr;
    std::string why;
    if (!follower.empty()) {
      why = absl::StrCat("update '", follower,
                         "', which goes on from it, is loaded; unload that one "
                         "first");
    } else if (!was_closed) {
      why = WhyKept(*module, options);
    }
    const bool is_closed = was_closed || why.empty();
    if (why.empty()) {
      if (!was_closed) {
        ForgetImage(module->load_base,
                    module->load_base + module->size_in_memory);
      }
      if (!manager_internal::PrivateCopy::UnloadKept(module->copy_name)) {
        why =
            "the dynamic linker keeps it: somebody has a handle of it "
            "(dlopen()), or destructors of thread_local variables";
      }
    }
    std::lock_guard<std::mutex> lock(modules.mutex);
    const auto kept = std::find_if(
        modules.kept.begin(), modules.kept.end(), [&](const KeptModule& one) {
          return one.load_soname == module->load_soname;
        });
    if (why.empty()) {
      ++report.unloaded;
      modules.kept.erase(kept);
      continue;
    }
    kept->is_in_use = false;
    kept->why_kept = why;
    // It may go at any time, and is not used again.
    if (is_closed) kept->state = nullptr;
    report.kept.push_back({update, module->load_soname, std::move(why)});
  }
  return report;
}

std::vector<KeptReport> ListKeptModules() {
  std::vector<KeptReport> reports;
  KeptModules& modules = TheKeptModules();
  std::lock_guard<std::mutex> lock(modules.mutex);
  for (const KeptModule& module : modules.kept) {
    if (module.map == nullptr || module.is_in_use) continue;
    reports.push_back(
        {module.update_name, module.load_soname, module.why_kept});
  }
  return reports;
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/enabled/apply_enabled.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "manager/enabled/enabled_store.h"
#include "manager/enabled/start_mark.h"
#include "manager/module/module_file.h"

namespace instar {
namespace manager_internal {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr std::size_t kShownOfBuild = 12;  // digits

std::string Builds(const EnabledUpdate& update) {
  return absl::StrJoin(update.builds, ", ",
                       [](std::string* out, const std::string& build) {
                         out->append(build.substr(0, kShownOfBuild));
                       });
}

class Start {
 public:
  Start(const ApplyEnabledOptions& options, Journal& journal,
        absl::FunctionRef<absl::Status(const std::string&, nanoseconds)> load)
      : options_(options), journal_(journal), load_(load) {}

  void Apply(const EnabledUpdate& update) {
    const absl::Status ready = Check(update);
    if (!ready.ok()) return Skip(update.update, ready.message());
    absl::StatusOr<StartMark> mark = StartMark::Set(options_.folders, update);
    if (!mark.ok()) {
      return Skip(
          update.update,
          absl::StrCat("the mark that keeps a crash from being repeated "
                       "cannot be set: ",
                       mark.status().message()));
    }
    const absl::Status applied = load_(update.path, end_ - Clock::now());
    mark->Remove();
    if (applied.ok()) {
      applied_.push_back(update.update);
    } else {
      Say(update.update, applied.message());
    }
  }

  void Skip(const std::string& update, absl::string_view why) {
    journal_.Add("skipped", update, why);
    Say(update, why);
  }

  std::vector<std::string> TakeRemarks() { return std::move(remarks_); }

 private:
  bool IsApplied(const std::string& update) const {
    return std::find(applied_.begin(), applied_.end(), update) !=
           applied_.end();
  }

  absl::Status Check(const EnabledUpdate& update) const {
    if (options_.is_privileged) {
      return absl::PermissionDeniedError(
          "the program has more rights than who started it (set-user-ID, "
          "set-group-ID, or capabilities of its file)");
    }
    if (!update.IsFor(options_.build_id)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "it is for ", update.builds.size() == 1 ? "build " : "the builds ",
          Builds(update), ", and this is build ",
          options_.build_id.substr(0, kShownOfBuild),
          "; enable one for this build, or `instarctl disable -p ",
          update.program, " ", update.update, "`"));
    }
    if (IsApplied(update.update)) {
      return absl::AlreadyExistsError(
          absl::StrCat("another update of that name is applied already; this "
                       "one is ",
                       update.path));
    }
    const std::string why = WhyLeftOut(options_.folders, update);
    if (!why.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          why, "; enable it again for one more try, or `instarctl disable -p ",
          update.program, " ", update.update, "`"));
    }
    INSTAR_RETURN_IF_ERROR(CheckEnabledFile(update));
    INSTAR_ASSIGN_OR_RETURN(const ModuleFile module,
                            ReadModuleFile(update.path, options_.build_id));
    for (const RequiredModule& required : module.required_modules()) {
      if (IsApplied(required.update_name)) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("it requires update '", required.update_name,
                       "', which is not applied; enable that first"));
    }
    if (Clock::now() >= end_) {
      return absl::DeadlineExceededError(
          "those before it have used up the time that the start may take");
    }
    return absl::OkStatus();
  }

  void Say(const std::string& update, absl::string_view why) {
    remarks_.push_back(
        update.empty()
            ? absl::StrCat("of enabled updates none is applied: ", why)
            : absl::StrCat("update '", update,
                           "' is enabled and not applied: ", why));
  }

  const ApplyEnabledOptions& options_;
  Journal& journal_;
  const absl::FunctionRef<absl::Status(const std::string&, nanoseconds)> load_;
  const Clock::time_point end_ = DeadlineAfter(options_.limit);
  std::vector<std::string> applied_;
  std::vector<std::string> remarks_;
};

// Whether one that was enabled later takes its place in this build.
bool IsSuperseded(const std::vector<EnabledUpdate>& all, std::size_t index,
                  const std::string& build_id) {
  for (std::size_t later = index + 1; later < all.size(); ++later) {
    if (all[later].update == all[index].update && all[later].IsFor(build_id) &&
        all[index].IsFor(build_id)) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> ApplyEnabled(
    const ApplyEnabledOptions& options, Journal& journal,
    absl::FunctionRef<absl::Status(const std::string&, nanoseconds)> load) {
  Start start(options, journal, load);
  for (const std::string& folder : options.folders.All()) {
    for (const std::string& program : options.programs) {
      const absl::StatusOr<std::vector<EnabledUpdate>> all =
          EnabledStore(folder, program).List();
      if (!all.ok()) {
        start.Skip("", all.status().message());
        continue;
      }
      for (std::size_t i = 0; i < all->size(); ++i) {
        if (!IsSuperseded(*all, i, options.build_id)) start.Apply((*all)[i]);
      }
    }
  }
  return start.TakeRemarks();
}

}  // namespace manager_internal
}  // namespace instar

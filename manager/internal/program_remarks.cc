// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/program_remarks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "code/entry_check.h"
#include "code/program_check/build_check.h"
#include "code/program_check/patching_probe.h"

namespace instar {
namespace manager_internal {

absl::Status ProgramRemarks::Patching() {
  std::lock_guard<std::mutex> probing(probing_);
  {
    std::lock_guard<std::mutex> lock(lock_);
    if (has_probed_) return patching_;
  }
  absl::Status patching = ProbePatching();
  std::lock_guard<std::mutex> lock(lock_);
  patching_ = patching;
  // What the program may yet change, such as being dumpable, is asked again.
  has_probed_ =
      !absl::IsUnavailable(patching) && !absl::IsPermissionDenied(patching);
  return patching;
}

absl::Status ProgramRemarks::CheckEffect() {
  absl::Status patching = Patching();
  const bool is_for_good = absl::IsFailedPrecondition(patching) ||
                           absl::IsInternal(patching) ||
                           absl::IsDataLoss(patching);
  return is_for_good ? patching : absl::OkStatus();
}

void ProgramRemarks::CheckBuild() {
  std::vector<std::string> remarks = instar::CheckBuild();
  std::lock_guard<std::mutex> lock(lock_);
  build_ = std::move(remarks);
}

void ProgramRemarks::CheckEntries() {
  std::vector<std::string> changed;
  std::vector<std::string> restored;
  for (const ChangedEntry& entry : CheckRedirectedEntries()) {
    (entry.is_restored ? restored : changed).push_back(entry.ToString());
  }
  std::lock_guard<std::mutex> lock(lock_);
  changed_ = std::move(changed);
  for (std::string& remark : restored) {
    if (std::find(restored_.begin(), restored_.end(), remark) ==
        restored_.end()) {
      restored_.push_back(std::move(remark));
    }
  }
}

void ProgramRemarks::ModuleTakesMemoryAgain(const std::string& update,
                                            const std::string& why) {
  std::lock_guard<std::mutex> lock(lock_);
  Again& again = again_[update];
  ++again.times;
  again.why = why;
}

void ProgramRemarks::Note(std::string remark) {
  std::lock_guard<std::mutex> lock(lock_);
  noted_.push_back(std::move(remark));
}

std::vector<std::string> ProgramRemarks::All() const {
  std::lock_guard<std::mutex> lock(lock_);
  std::vector<std::string> all = noted_;
  all.insert(all.end(), changed_.begin(), changed_.end());
  all.insert(all.end(), restored_.begin(), restored_.end());
  if (!patching_.ok()) {
    all.push_back(
        absl::StrCat("no code can be changed: ", patching_.message()));
  }
  for (const auto& [update, again] : again_) {
    all.push_back(absl::StrCat(
        "the module of update '", update, "' was loaded ", again.times,
        again.times == 1 ? " time" : " times",
        " more, and takes memory each time, since it ", again.why));
  }
  all.insert(all.end(), build_.begin(), build_.end());
  return all;
}

}  // namespace manager_internal
}  // namespace instar

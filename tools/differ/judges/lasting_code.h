// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code of the old build that may run after the update has been applied, though
// the new build does not have it any more:
//   - functions that change while they may be on a stack, since they are never
//     left or since their author says so;
//   - functions without a new version to which a pointer may have been kept:
//     callbacks, coroutines that are suspended, closures that exist;
//   - functions without a new version that those call.
// It calls and makes what it knows as it was.

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_LASTING_CODE_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_LASTING_CODE_H_

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "tools/differ/comparison.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {

class LastingCode {
 public:
  // `why_active`: why a function may be on a stack when the update is applied,
  // "is never left"; empty: it is not. `still_called`: what the modules before
  // say (UpdateState::still_called()).
  using WhyActive = std::function<std::string(const Unit& function)>;
  LastingCode(const Comparison& comparison, WhyActive why_active,
              const std::set<std::string>& still_called);
  LastingCode(const LastingCode&) = delete;
  LastingCode& operator=(const LastingCode&) = delete;

  // Why this function of the old build may go on as it was: "is never left".
  // Empty: it does not. One that is never left counts also if it has not
  // changed.
  std::string WhyLasting(const Unit& function) const;

  // Those of them that have no new version, and why.
  std::vector<std::pair<const Unit*, std::string>> WithoutNewVersion() const;

  // Names of the functions that all of it may call, and of those whose address
  // the old build takes and the new one does not. For the next update to know.
  const std::set<std::string>& still_called() const { return still_called_; }

 private:
  void FindUnitsWithoutNewVersion();
  void FindKept(const std::set<std::string>& still_called);
  void Follow(const Unit& function, std::string why);
  void FollowReferences(const Unit& unit, const Unit& function);

  const Comparison& comparison_;
  const WhyActive why_active_;
  absl::flat_hash_set<const Unit*> without_new_version_;
  // Of these and of constants, those of the old build that other objects know.
  absl::flat_hash_map<absl::string_view, const Unit*> by_name_;
  absl::flat_hash_set<const Unit*> followed_;  // constants
  // In the order in which they were found.
  std::vector<std::pair<const Unit*, std::string>> lasting_;
  absl::flat_hash_map<const Unit*, std::size_t> index_of_;  // in lasting_
  std::set<std::string> still_called_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_LASTING_CODE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program cannot do because of how its service was hardened: found out
// when the manager starts, before it does what a seccomp filter would end the
// process for (base/linux/seccomp_filter.h). Internal to this package;
// docs/hardened_services.md has the whole list.
//
// Threads: any. The filters are those of the calling thread.

#ifndef INSTAR_MANAGER_INTERNAL_SERVICE_LIMITS_H_
#define INSTAR_MANAGER_INTERNAL_SERVICE_LIMITS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

struct sock_fprog;  // <linux/filter.h>

namespace instar {
namespace manager_internal {

struct ServiceLimits {
  // FailedPrecondition: the process would be ended for what a manager does
  // whatever it is asked, or for an update. The message names the calls, and
  // the line of the unit file.
  absl::Status may_start;
  // A sentence for each thing that does not work, with the line of the unit
  // file that has to change.
  std::vector<std::string> remarks;
};

// With `more`, as it would be with that filter on top of those in force
// (AskSeccompFilter()).
ServiceLimits FindServiceLimits(const sock_fprog* more = nullptr);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_SERVICE_LIMITS_H_

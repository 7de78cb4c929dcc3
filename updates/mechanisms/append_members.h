// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects of an updatable class get members at their end
// (heap/appended_member.h), in an update that instar-diff has made:
//
//   std::vector<instar::AppendedMember> members;  // as a module tells them
//   plan.Add(instar::AppendMembers(members));
//
// It waits while an object of the class is on a stack, and fails where one is
// anywhere else that `new` has not made; the same goes for undoing it, which
// destroys the members. Functions that know the class in either version are
// redefined in the same plan.

#ifndef INSTAR_UPDATES_MECHANISMS_APPEND_MEMBERS_H_
#define INSTAR_UPDATES_MECHANISMS_APPEND_MEMBERS_H_

#include <memory>
#include <vector>

#include "heap/appended_member.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {

// All new members of one class, in the order of their places. At least one.
std::shared_ptr<Mechanism> AppendMembers(std::vector<AppendedMember> members);

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_APPEND_MEMBERS_H_

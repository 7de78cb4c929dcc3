// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The report of instar-diff, for people and for programs.

#ifndef INSTAR_TOOLS_DIFFER_REPORT_H_
#define INSTAR_TOOLS_DIFFER_REPORT_H_

#include <string>

#include "tools/differ/update_maker.h"

namespace instar {
namespace differ {

// Lines, each with its end.
std::string ToText(const UpdateReport& report);

// One object; docs/updates_from_two_builds.md has its members.
std::string ToJson(const UpdateReport& report);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_REPORT_H_

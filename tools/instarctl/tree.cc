// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Processes as a tree.

#include <algorithm>
#include <functional>
#include <utility>

#include "manager/control/report_json.h"
#include "nlohmann/json.hpp"
#include "tools/instarctl/output.h"

namespace instar {
namespace instarctl {
namespace {

using nlohmann::json;

// How far up it is looked. What /proc says changes meanwhile.
constexpr int kForebears = 100;

pid_t FindParent(const ListedProgram& child,
                 const std::vector<ListedProgram>& programs,
                 absl::FunctionRef<pid_t(pid_t)> parent_of) {
  pid_t parent = child.program.pid;
  for (int i = 0; i < kForebears; ++i) {
    parent = parent_of(parent);
    if (parent <= 0 || parent == child.program.pid) return 0;
    for (const ListedProgram& other : programs) {
      if (other.program.pid == parent &&
          other.program.name == child.program.name) {
        return parent;
      }
    }
  }
  return 0;
}

json ToJson(const ListedProgram& listed) {
  json object = {{"name", listed.program.name},
                 {"pid", listed.program.pid},
                 {"socket", listed.program.socket},
                 {"has_manager", listed.has_manager},
                 {"error", nullptr},
                 {"updates", json::array()},
                 {"children", json::array()}};
  if (!listed.has_manager) return object;
  if (!listed.status.ok()) {
    object["error"] = manager_internal::ErrorToJson(listed.status.status());
    return object;
  }
  object["program"] = manager_internal::ReportToJson(listed.status->program);
  for (const AppliedReport& applied : listed.status->applied) {
    object["updates"].push_back(applied.update);
  }
  return object;
}

// Those from `at` on that are `depth` or more below; goes on behind them.
json ChildrenToJson(const std::vector<ListedProgram>& programs, std::size_t& at,
                    int depth) {
  json list = json::array();
  while (at < programs.size() && programs[at].depth >= depth) {
    json object = ToJson(programs[at++]);
    object["children"] = ChildrenToJson(programs, at, depth + 1);
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace

void ArrangeAsTree(absl::FunctionRef<pid_t(pid_t)> parent_of,
                   std::vector<ListedProgram>& programs) {
  for (ListedProgram& listed : programs) {
    listed.parent = FindParent(listed, programs, parent_of);
  }
  std::vector<ListedProgram> arranged;
  std::vector<bool> is_taken(programs.size());
  const std::function<void(std::size_t, int)> take = [&](std::size_t i,
                                                         int depth) {
    if (is_taken[i]) return;
    is_taken[i] = true;
    const RunningProgram parent = programs[i].program;
    programs[i].depth = depth;
    arranged.push_back(std::move(programs[i]));
    for (std::size_t child = 0; child < programs.size(); ++child) {
      if (!is_taken[child] && programs[child].parent == parent.pid &&
          programs[child].program.name == parent.name) {
        take(child, depth + 1);
      }
    }
  };
  for (std::size_t i = 0; i < programs.size(); ++i) {
    if (programs[i].parent == 0) take(i, 0);
  }
  // Where numbers were used again while they were read.
  for (std::size_t i = 0; i < programs.size(); ++i) {
    if (is_taken[i]) continue;
    programs[i].parent = 0;
    take(i, 0);
  }
  programs = std::move(arranged);
}

std::string ProgramsToJson(const std::vector<ListedProgram>& programs,
                           const std::vector<std::string>& hints) {
  std::size_t at = 0;
  return manager_internal::Dump(
      {{"processes", ChildrenToJson(programs, at, 0)}, {"hints", hints}}, 2);
}

}  // namespace instarctl
}  // namespace instar

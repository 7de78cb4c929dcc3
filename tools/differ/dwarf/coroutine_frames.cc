// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/coroutine_frames.h"

#include <dwarf.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/type_layout.h"

namespace instar {
namespace differ {
namespace {

// GCC names a frame's type after the linkage name of its ramp.
constexpr absl::string_view kFrame = ".Frame";

bool IsFrame(const Die& die) {
  return die.tag == DW_TAG_structure_type && die.name != nullptr &&
         absl::EndsWith(die.name, kFrame);
}

// The frame that a function makes, as its ramp; kNoDie: none.
DieIndex FrameMadeBy(const DieTree& dies, DieIndex function) {
  for (const DieIndex child : dies.ChildrenOf(function)) {
    if (dies[child].tag != DW_TAG_variable || dies[child].name == nullptr ||
        dies[child].name != absl::string_view("_Coro_frameptr")) {
      continue;
    }
    const DieIndex pointer = dies.TypeOf(child);
    if (pointer == kNoDie || dies[pointer].tag != DW_TAG_pointer_type) continue;
    return dies[pointer].type;
  }
  return kNoDie;
}

// GCC has a label "resume.N" for each suspend point, in the ramp.
int SuspendPointsIn(const DieTree& dies, DieIndex ramp) {
  std::set<absl::string_view> labels;
  const DieIndex end = dies.EndOf(ramp);
  for (DieIndex i = ramp; i < end; ++i) {
    if (dies[i].tag != DW_TAG_label || dies[i].name == nullptr) continue;
    if (absl::StartsWith(dies[i].name, "resume.")) labels.insert(dies[i].name);
  }
  return labels.empty() ? -1 : static_cast<int>(labels.size());
}

}  // namespace

std::vector<Coroutine> CoroutinesOf(const ObjectDebugInfo& object) {
  const DieTree& dies = object.dies();
  std::map<std::string, Coroutine> found;
  for (DieIndex i = 0; i < dies.size(); ++i) {
    if (!IsFrame(dies[i])) continue;
    absl::string_view ramp = dies[i].name;
    ramp.remove_suffix(kFrame.size());
    found[dies[i].name].ramp = std::string(ramp);
  }
  if (found.empty()) return {};

  for (DieIndex i = 0; i < dies.size(); ++i) {
    if (dies[i].tag != DW_TAG_subprogram) continue;
    const DieIndex frame = FrameMadeBy(dies, i);
    if (frame == kNoDie || !IsFrame(dies[frame])) continue;
    Coroutine& coroutine = found[dies[frame].name];
    coroutine.suspend_points =
        std::max(coroutine.suspend_points, SuspendPointsIn(dies, i));
  }
  for (const TypeLayout& layout : LayoutsOf(object)) {
    // Its scope is that of the ramp.
    const std::size_t scope = layout.name.rfind(':');
    const auto frame =
        found.find(scope == std::string::npos ? layout.name
                                              : layout.name.substr(scope + 1));
    if (frame == found.end()) continue;
    frame->second.frame_size = layout.size;
    for (const MemberLayout& member : layout.members) {
      frame->second.members.push_back({member.name, member.type,
                                       member.bit_offset / 8,
                                       member.bit_size / 8});
    }
    std::stable_sort(frame->second.members.begin(), frame->second.members.end(),
                     [](const FrameMember& a, const FrameMember& b) {
                       return a.offset < b.offset;
                     });
  }
  for (const Symbol& symbol : object.file().symbols()) {
    for (auto& frame : found) {
      if (absl::EndsWith(symbol.name, absl::StrCat(frame.first, ".actor"))) {
        frame.second.actor = std::string(symbol.name);
      }
      if (absl::EndsWith(symbol.name, absl::StrCat(frame.first, ".destroy"))) {
        frame.second.destroyer = std::string(symbol.name);
      }
    }
  }
  std::vector<Coroutine> coroutines;
  for (auto& frame : found) coroutines.push_back(std::move(frame.second));
  return coroutines;
}

std::string FrameDifference(const Coroutine& was, const Coroutine& is) {
  const std::string frame = absl::StrCat("the frame of ", is.ramp);
  for (const Coroutine* const coroutine : {&was, &is}) {
    if (coroutine->suspend_points < 0 || coroutine->members.empty()) {
      return absl::StrCat(frame, " is not described; compile with GCC and -g");
    }
  }
  if (was.suspend_points != is.suspend_points) {
    return absl::StrCat(frame, " has ", is.suspend_points,
                        " suspend points, had ", was.suspend_points);
  }
  const auto describe = [](const FrameMember& member) {
    return absl::StrCat(member.name, " (", member.type, ", ", member.size,
                        " bytes) at ", member.offset);
  };
  const std::size_t both = std::min(was.members.size(), is.members.size());
  for (std::size_t i = 0; i < both; ++i) {
    const std::string before = describe(was.members[i]);
    const std::string now = describe(is.members[i]);
    if (before != now) {
      return absl::StrCat(frame, " has ", now, ", had ", before);
    }
  }
  if (was.members.size() != is.members.size() ||
      was.frame_size != is.frame_size) {
    return absl::StrCat(frame, " has ", is.members.size(), " members in ",
                        is.frame_size, " bytes, had ", was.members.size(),
                        " in ", was.frame_size);
  }
  return "";
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// C++20 coroutines of an object, as GCC describes them. A coroutine is three
// functions: the ramp, which has its name and makes the frame; the actor, which
// runs whenever it is resumed; the destroyer. A frame that exists leads to the
// actor and the destroyer of the build that made it, and is laid out as in
// that.
//
//   const std::string difference = FrameDifference(old_one, new_one);
//   if (difference.empty()) ... the new actor can resume old frames, as far as
//                               debug information tells ...
//
// It does not tell which point of the source a suspend point is: two that have
// changed places, with awaiters of one type, look the same.
//
// Threads: as ObjectDebugInfo.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_COROUTINE_FRAMES_H_
#define INSTAR_TOOLS_DIFFER_DWARF_COROUTINE_FRAMES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

struct FrameMember {
  std::string name;  // "_Coro_promise"; parameters and locals with suffixes
  std::string type;
  std::uint64_t offset;  // bytes
  std::uint64_t size;
};

struct Coroutine {
  // Linkage names. The ramp's symbol may be missing, where it was inlined.
  std::string ramp;
  std::string actor;      // "...Frame.actor"; empty: the object has none
  std::string destroyer;  // "...Frame.destroy"
  std::uint64_t frame_size = 0;
  std::vector<FrameMember> members;  // by offset
  // With the initial and the final one; -1: not described.
  int suspend_points = -1;
};

// By the ramp's name.
std::vector<Coroutine> CoroutinesOf(const ObjectDebugInfo& object);

// Empty if frames and the number of suspend points are the same; else what
// differs: "the frame of _ZN4shop5ServeEi has 4 suspend points, had 3".
std::string FrameDifference(const Coroutine& was, const Coroutine& is);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_COROUTINE_FRAMES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Program counters and stacks as people read them. Takes locks and allocates:
// not while threads are interrupted.

#ifndef INSTAR_THREADS_INTERNAL_FRAME_NAMES_H_
#define INSTAR_THREADS_INTERNAL_FRAME_NAMES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "stack/unwind_safety.h"

namespace instar {
namespace threads_internal {

// "Serve(int)", or "0x7f..." if no function is known there.
std::string NameOfCode(std::uintptr_t lookup_pc);

// {"accept", "shop::Serve", "main"}, innermost first, without parameters and
// template arguments, at most `limit` and then "...". What the standard library
// and this one do on their own account is left out, unless there is nothing
// else.
std::vector<std::string> NamesOfFrames(
    const std::vector<std::uintptr_t>& lookup_pcs, std::size_t limit);

// "Close() ends in std::terminate (frame 3)".
std::string Describe(const UnwindSafety& safety);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_FRAME_NAMES_H_

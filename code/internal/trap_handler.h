// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The SIGTRAP handler behind code/internal/text_patch.h.
//
// | what arrives                                  | what is done              |
// |-----------------------------------------------|---------------------------|
// | int3 at an entry that is being patched        | on at its previous target |
// | int3 that was at an entry, patch complete     | the entry is run again    |
// | the signal of text_patch.cc                    | out of the entry, answer |
// | anything else                                 | the handler before ours   |

#ifndef INSTAR_CODE_INTERNAL_TRAP_HANDLER_H_
#define INSTAR_CODE_INTERNAL_TRAP_HANDLER_H_

#include <signal.h>

#include <cstdint>

#include "absl/status/status.h"

namespace instar {
namespace code_internal {

// Makes ours the handler of SIGTRAP, or leaves it if it is. Whatever handles
// SIGTRAP at the moment gets what is not ours. Under CodeLock.
absl::Status InstallTrapHandler();

// Marks a SIGTRAP sent by rt_tgsigqueueinfo(2) as ours, in the upper half of
// its value. The thread that gets it leaves the inside of an entry that is
// being patched, and raises instar_flush_answer to the lower half.
inline constexpr uint64_t kFlushMark = 0x696e7374;
extern "C" uint32_t instar_flush_answer;

// The handler; for tests.
extern "C" void instar_trap_handler(int signal, siginfo_t* info, void* context);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_TRAP_HANDLER_H_

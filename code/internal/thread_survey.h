// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What /proc tells about the threads of the process, read without allocating
// and without a lock: other threads may be held while they hold one.

#ifndef INSTAR_CODE_INTERNAL_THREAD_SURVEY_H_
#define INSTAR_CODE_INTERNAL_THREAD_SURVEY_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"

namespace instar {

// Set to 1, by the debugger itself (`set variable instar_patch_while_traced=1`)
// after `handle SIGTRAP nostop noprint pass`, it allows code to be changed
// while the process is traced. gdb then also passes on the SIGTRAP of its own
// breakpoints when it continues from them, so those that nobody handles are
// dropped.
extern "C" volatile int instar_patch_while_traced;

namespace code_internal {

struct ThreadSurvey {
  int threads = 0;  // that have not ended
  // The process that traces the calling thread, or 0: a debugger traces all.
  pid_t tracer = 0;
  // A thread that blocks SIGTRAP and may run code of the program, or start a
  // thread that does (which blocks what it blocks), or 0; and its name. Not one
  // that the calling thread holds by tracing it.
  pid_t blocks_trap = 0;
  char blocks_trap_name[16] = "";
};

// Threads that start or change during the survey may be missed. Fails if /proc
// cannot be read, also of one thread.
absl::Status SurveyThreads(ThreadSurvey& survey);

// Calls visit(thread, argument) for each thread of the process, until it
// returns false.
absl::Status ForEachThread(bool (*visit)(pid_t thread, void* argument),
                           void* argument);

// Whether the thread executes, or is about to execute, instructions of the
// program: it has not ended, and does not wait in a system call. True if that
// cannot be read.
bool ExecutesCode(pid_t thread);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_THREAD_SURVEY_H_

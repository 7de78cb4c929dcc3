// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/thread_survey.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error_text.h"
#include "base/linux/own_thread.h"
#include "base/linux/system_threads.h"
#include "base/linux/tasks.h"
#include "base/linux/traced_threads.h"

namespace instar {

extern "C" {
volatile int instar_patch_while_traced = 0;
}

namespace code_internal {
namespace {

// What follows `label` in the text of a status file, or null.
const char* Field(const char* text, const char* label) {
  const char* const found = strstr(text, label);
  return found == nullptr ? nullptr : found + strlen(label);
}

// The field of a stat file with this number, as proc(5) counts them, or null.
// The second one, the name in parentheses, may have spaces in it.
const char* StatField(const char* text, int number) {
  const char* at = strrchr(text, ')');
  for (int i = 2; at != nullptr && i < number; ++i) {
    at = strchr(at + 1, ' ');
  }
  return at == nullptr ? nullptr : at + 1;
}

bool HasEnded(const char* stat) {
  const char* const state = StatField(stat, 3);
  return state == nullptr || *state == 'Z' || *state == 'X';
}

bool Blocks(uint64_t mask, int signal) {
  return (mask >> (signal - 1) & 1) != 0;
}

// ThreadSanitizer has a thread of its own, which blocks every signal and runs
// none of the program's functions.
bool IsOfSanitizer([[maybe_unused]] uint64_t mask) {
#if defined(__SANITIZE_THREAD__)
  return Blocks(mask, SIGSEGV);
#else
  return false;
#endif
}

// The name in parentheses, of a stat file.
void CopyName(const char* stat, char (&name)[16]) {
  const char* const begin = strchr(stat, '(');
  const char* const end = strrchr(stat, ')');
  const size_t size =
      begin == nullptr || end == nullptr
          ? 0
          : std::min(static_cast<size_t>(end - begin - 1), sizeof(name) - 1);
  if (size > 0) memcpy(name, begin + 1, size);
  name[size] = '\0';
}

struct Surveyor {
  ThreadSurvey& survey;
  const pid_t self;
  // A thread that is there and cannot be looked at, or 0; and why.
  pid_t unread = 0;
  int error = 0;
};

// Of the stat file, which is half as expensive as the status file and has of
// the signals that are blocked the first 31. Those that a thread waits for by
// sigwait() are not among these meanwhile: it blocks them when it goes on.
bool SurveyThread(pid_t thread, void* argument) {
  auto& [survey, self, unread, error] = *static_cast<Surveyor*>(argument);
  // The former changes the code and runs none of it, whatever it blocks; the
  // latter blocks no trap.
  if (thread == self || RunsLibraryAlone(thread)) {
    ++survey.threads;
    return true;
  }
  char stat[1024];
  if (!ReadTaskFile(thread, "stat", stat, sizeof(stat))) {
    error = errno;
    unread = HasTaskEnded(thread) ? 0 : thread;
    return unread == 0;
  }
  if (HasEnded(stat)) return true;
  ++survey.threads;
  if (const char* const blocked = StatField(stat, 32)) {
    const uint64_t mask =
        strtoull(blocked, nullptr, 10) | SignalsAwaitedBy(thread);
    if (Blocks(mask, SIGTRAP) && !IsOfSanitizer(mask) &&
        RunsProgramCode(thread) && !TracedThreads::IsHeldByThisThread(thread)) {
      survey.blocks_trap = thread;
      CopyName(stat, survey.blocks_trap_name);
    }
  }
  return true;
}

}  // namespace

absl::Status ForEachThread(bool (*visit)(pid_t thread, void* argument),
                           void* argument) {
  if (!VisitTasks([&](pid_t thread) { return visit(thread, argument); })) {
    return ErrorWithText(absl::StatusCode::kUnavailable,
                         "cannot list the threads in /proc/self/task: %s; "
                         "changing code of a running program needs /proc",
                         strerrordesc_np(errno));
  }
  return absl::OkStatus();
}

absl::Status SurveyThreads(ThreadSurvey& survey) {
  survey = ThreadSurvey();
  char status[4096];
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  if (ReadTaskFile(self, "status", status, sizeof(status))) {
    if (const char* const tracer = Field(status, "\nTracerPid:\t")) {
      survey.tracer = static_cast<pid_t>(strtol(tracer, nullptr, 10));
    }
  }
  Surveyor surveyor{survey, self};
  const absl::Status listed = ForEachThread(&SurveyThread, &surveyor);
  if (listed.ok() && surveyor.unread != 0) {
    return ErrorWithText(absl::StatusCode::kUnavailable,
                         "cannot read the state of thread %d in "
                         "/proc/self/task: %s; changing code of a running "
                         "program needs it",
                         surveyor.unread, strerrordesc_np(surveyor.error));
  }
  return listed;
}

bool ExecutesCode(pid_t thread) {
  char text[4096];
  if (HasTaskEnded(thread)) return false;
  // "running", or "-1 SP PC" outside a system call, or its number and so on.
  // Kernels without this file cannot tell.
  return !ReadTaskFile(thread, "syscall", text, sizeof(text)) ||
         text[0] < '0' || text[0] > '9';
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/translator.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/linux/tasks.h"

namespace instar {
namespace {

// Whether the kernel runs a translator that runs the program: what it takes for
// the calling thread's stack pointer is not the program's then.
bool AskIfTranslated() {
  constexpr std::uintptr_t kNear = 1 << 20;
  char text[256];
  if (!ReadTaskFile(static_cast<pid_t>(syscall(SYS_gettid)), "syscall", text,
                    sizeof(text))) {
    return false;
  }
  // "NUMBER ARGUMENTS SP PC", of the call by which it reads this.
  const char* const last = std::strrchr(text, ' ');
  if (text[0] < '0' || text[0] > '9' || last == nullptr) return false;
  const char* before = last;
  while (before > text && before[-1] != ' ') --before;
  const std::uintptr_t sp = std::strtoull(before, nullptr, 16);
  const auto here =
      reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return (sp < here ? here - sp : sp - here) > kNear;
}

}  // namespace

bool IsTranslated() {
  enum { kUnknown, kNo, kYes };
  // Relaxed: all who ask get the same answer.
  static std::atomic<int> known{kUnknown};
  int answer = known.load(std::memory_order_relaxed);
  if (answer == kUnknown) {
    answer = AskIfTranslated() ? kYes : kNo;
    known.store(answer, std::memory_order_relaxed);
  }
  return answer == kYes;
}

}  // namespace instar

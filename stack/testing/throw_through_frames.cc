// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/testing/throw_through_frames.h"

#include <time.h>

#include <functional>

namespace instar {
namespace {

class Counter {
 public:
  Counter(int* count, const std::function<void()>& action)
      : count_(count), action_(action) {}
  ~Counter() {
    ++*count_;
    if (action_) action_();
  }

 private:
  int* count_;
  const std::function<void()>& action_;
};

__attribute__((noinline)) void Throw(int frames, int* count,
                                     const std::function<void()>& action) {
  if (frames == 0) throw frames;
  Counter counter(count, action);
  Throw(frames - 1, count, action);
}

}  // namespace

int ThrowThroughFrames(int frames, const std::function<void()>& in_destructor) {
  int count = 0;
  try {
    Throw(frames, &count, in_destructor);
  } catch (int) {
  }
  return count;
}

double TimeThrows(int count) {
  // Of this thread's processor: others may keep the machine busy.
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 +
           static_cast<double>(time.tv_nsec);
  };
  ThrowThroughFrames(8);
  const double start = now();
  for (int i = 0; i < count; ++i) ThrowThroughFrames(8);
  return (now() - start) / count;
}

}  // namespace instar

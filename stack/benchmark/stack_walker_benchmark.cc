// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Walks through 8, 64 and 512 frames, compared with the least that a walk can
// do and with other walkers; of code with frame pointers, and once of code that
// has none. The figure that counts is `per_frame`. All walks are warm.

#include <dlfcn.h>
#include <execinfo.h>
#include <unwind.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "continuation/continulet.h"
#include "stack/activity.h"
#include "stack/exposed_values.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "stack/testing/activity_cases.h"
#include "stack/unwind_safety.h"

namespace instar {
namespace {

// Calls eight functions in turn, one in the other, and at the bottom the
// action.
class Descent : public Tree {
 public:
  Descent(int depth, std::function<void()> action)
      : depth_(depth), action_(std::move(action)) {}

  int Next(int) override {
    if (done_) return -1;
    if (--depth_ > 0) return depth_ % 8;
    action_();
    done_ = true;
    return -1;
  }

 private:
  int depth_;
  std::function<void()> action_;
  bool done_ = false;
};

void Descend(
    int depth, std::function<void()> action,
    const std::vector<TreeFunction>& functions = optimized::TreeFunctions()) {
  Descent descent(depth, std::move(action));
  functions[0](&descent);
}

// 64 functions of three ranges each, all around the code that runs, in none of
// which a return address lies.
FunctionSet MakeSet(const StackSnapshot& snapshot) {
  std::vector<std::uintptr_t> pcs;
  WalkStack(snapshot, [&](const Frame& frame) {
    pcs.push_back(frame.lookup_pc);
    return true;
  });
  const auto here =
      reinterpret_cast<std::uintptr_t>(optimized::TreeFunctions()[3]);
  std::vector<FunctionRange> ranges;
  for (int i = 0; i < 192; ++i) {
    const std::uintptr_t start = here + (i - 96) * 64;
    const bool hit = std::any_of(pcs.begin(), pcs.end(), [&](auto pc) {
      return pc >= start && pc < start + 40;
    });
    if (!hit) ranges.push_back({start, start + 40, i % 64});
  }
  return FunctionSet(ranges);
}

void Report(benchmark::State& state, double frames) {
  state.counters["per_frame"] =
      benchmark::Counter(frames, benchmark::Counter::kIsIterationInvariantRate |
                                     benchmark::Counter::kInvert);
  state.counters["frames"] = frames;
}

struct Link {
  const Link* next;
  std::uintptr_t return_address;
};

// Follows `count` frame pointers and tests each return address against a range.
int Chase(const Link* link, int count, std::uintptr_t start,
          std::uintptr_t size) {
  int found = 0;
  for (int i = 0; i < count; ++i) {
    found += link->return_address - start < size ? 1 : 0;
    link = link->next;
  }
  return found;
}

void Walk(benchmark::State& state, const std::vector<TreeFunction>& functions) {
  const auto walk = [&] {
    const FunctionSet set = MakeSet(SnapshotOfCaller());
    int frames = 0;
    for (auto _ : state) {
      const Activity activity = FindActivity(SnapshotOfCaller(), set);
      if (!activity.quiescent()) state.SkipWithError("not quiescent");
      frames = activity.walk.frames;
    }
    Report(state, frames);
  };
  Descend(static_cast<int>(state.range(0)), walk, functions);
}

void WalkInstar(benchmark::State& state) {
  Walk(state, optimized::TreeFunctions());
}

void WalkWithoutFramePointers(benchmark::State& state) {
  Walk(state, without_frame_pointers::TreeFunctions());
}

void WalkLimit(benchmark::State& state) {
  Descend(static_cast<int>(state.range(0)), [&] {
    const int count = static_cast<int>(state.range(0));
    for (auto _ : state) {
      benchmark::DoNotOptimize(Chase(
          static_cast<const Link*>(__builtin_frame_address(0)), count, 16, 16));
    }
    Report(state, count);
  });
}

void WalkPausedInstar(benchmark::State& state) {
  using Body = Continulet<int(int)>;
  Body body("body", [&](Body::Self& self, int) {
    Descend(static_cast<int>(state.range(0)), [&] { self.Switch(0); });
    return 0;
  });
  body.Switch(0);
  const FunctionSet set = MakeSet(SnapshotOf(*body.paused_context()));
  int frames = 0;
  for (auto _ : state) {
    const Activity activity =
        FindActivity(SnapshotOf(*body.paused_context()), set);
    if (!activity.quiescent()) state.SkipWithError("not quiescent");
    frames = activity.walk.frames;
  }
  Report(state, frames);
  body.Switch(0);
}

void WalkPausedLimit(benchmark::State& state) {
  using Body = Continulet<int(int)>;
  Body body("body", [&](Body::Self& self, int) {
    Descend(static_cast<int>(state.range(0)), [&] { self.Switch(0); });
    return 0;
  });
  body.Switch(0);
  const int count = static_cast<int>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        Chase(reinterpret_cast<const Link*>(body.paused_context()->fp), count,
              16, 16));
  }
  Report(state, count);
  body.Switch(0);
}

void WalkUnwStep(benchmark::State& state) {
  Descend(static_cast<int>(state.range(0)), [&] {
    int frames = 0;
    for (auto _ : state) {
      unw_context_t context;
      unw_cursor_t cursor;
      unw_getcontext(&context);
      unw_init_local(&cursor, &context);
      frames = 1;
      while (unw_step(&cursor) > 0) {
        unw_word_t pc;
        unw_get_reg(&cursor, UNW_REG_IP, &pc);
        benchmark::DoNotOptimize(pc);
        ++frames;
      }
    }
    Report(state, frames);
  });
}

void WalkUnwBacktrace(benchmark::State& state) {
  Descend(static_cast<int>(state.range(0)), [&] {
    std::vector<void*> pcs(1000);
    int frames = 0;
    for (auto _ : state) {
      frames = unw_backtrace(pcs.data(), static_cast<int>(pcs.size()));
    }
    Report(state, frames);
  });
}

void WalkUnwindBacktrace(benchmark::State& state) {
  Descend(static_cast<int>(state.range(0)), [&] {
    int frames = 0;
    for (auto _ : state) {
      frames = 0;
      _Unwind_Backtrace(
          [](_Unwind_Context* context, void* count) {
            benchmark::DoNotOptimize(_Unwind_GetIP(context));
            ++*static_cast<int*>(count);
            return _URC_NO_REASON;
          },
          &frames);
    }
    Report(state, frames);
  });
}

void WalkBacktrace(benchmark::State& state) {
  // libunwind has a function of that name, too.
  void* const libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  const auto walk =
      reinterpret_cast<int (*)(void**, int)>(dlsym(libc, "backtrace"));
  Descend(static_cast<int>(state.range(0)), [&] {
    std::vector<void*> pcs(1000);
    int frames = 0;
    for (auto _ : state) {
      frames = walk(pcs.data(), static_cast<int>(pcs.size()));
    }
    Report(state, frames);
  });
}

void UnwindSafetyInstar(benchmark::State& state) {
  Descend(static_cast<int>(state.range(0)), [&] {
    int frames = 0;
    for (auto _ : state) {
      frames = CheckUnwindSafety(SnapshotOfCaller()).walk.frames;
    }
    Report(state, frames);
  });
}

void ExposeInstar(benchmark::State& state) {
  int value = 0;
  for (auto _ : state) {
    ExposedValue expose("value", value);
    benchmark::DoNotOptimize(&expose);
    benchmark::ClobberMemory();
  }
}

void ExposeLimit(benchmark::State& state) {  // the variable stands in memory
  int value = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(&value);
    benchmark::ClobberMemory();
  }
}

void Register() {
  const auto family = [](const char* name,
                         void (*function)(benchmark::State&)) {
    benchmark::RegisterBenchmark(name, function)->Arg(8)->Arg(64)->Arg(512);
  };
  family("walk/instar", &WalkInstar);
  family("walk/instar_without_frame_pointers", &WalkWithoutFramePointers);
  family("walk/limit", &WalkLimit);
  family("walk/unw_step", &WalkUnwStep);
  family("walk/unw_backtrace", &WalkUnwBacktrace);
  family("walk/_Unwind_Backtrace", &WalkUnwindBacktrace);
  family("walk/backtrace", &WalkBacktrace);
  family("walk_paused/instar", &WalkPausedInstar);
  family("walk_paused/limit", &WalkPausedLimit);
  family("unwind_safety/instar", &UnwindSafetyInstar);
  benchmark::RegisterBenchmark("expose/instar", &ExposeInstar);
  benchmark::RegisterBenchmark("expose/limit", &ExposeLimit);
}

}  // namespace
}  // namespace instar

int main(int argc, char** argv) {
  instar::Register();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}

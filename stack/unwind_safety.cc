// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/unwind_safety.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/fork_mutex.h"
#include "base/unwind_table.h"
#include "code/symbols/function.h"
#include "continuation/paused_context.h"

namespace instar {
namespace {

// Takes over what is known of a frame, once it is known not to be the catcher.
// True if the frame stops an exception.
bool Count(const Frame& frame, const ExceptionEffect& effect,
           UnwindSafety* safety) {
  if (StopsException(effect.outcome)) {
    safety->verdict = UnwindSafety::Verdict::kUnsafe;
    safety->frame = frame;
    safety->effect = effect;
    return true;
  }
  if (effect.outcome == ExceptionOutcome::kCatchAll &&
      safety->catch_all_frames++ == 0) {
    safety->first_catch_all = frame;
  }
  return false;
}

}  // namespace

UnwindSafety CheckUnwindSafety(const StackSnapshot& snapshot,
                               std::uintptr_t catcher) {
  UnwindSafety safety;
  StackSnapshot start = snapshot;
  start.switcher = nullptr;  // exceptions do not cross a switch
  // Whether a frame is the catcher shows only where it ends: at the stack
  // pointer of the next.
  Frame last = {};
  ExceptionEffect last_effect;
  last_effect.outcome = ExceptionOutcome::kPasses;
  bool catcher_reached = false;
  safety.walk = WalkStack(start, [&](const Frame& frame) {
    if ((catcher != 0 && frame.sp > catcher) ||
        (catcher == 0 && IsContinuletBase(frame.pc))) {
      catcher_reached = true;
      return false;
    }
    if (Count(last, last_effect, &safety)) return false;
    last = frame;
    last_effect = EffectOnException(frame.lookup_pc);
    return true;
  });
  if (safety.verdict == UnwindSafety::Verdict::kUnsafe) return safety;
  if (catcher_reached) {
    safety.verdict = UnwindSafety::Verdict::kSafe;
  } else if (catcher == 0 && safety.walk.complete() &&
             !Count(last, last_effect, &safety)) {
    safety.verdict = UnwindSafety::Verdict::kSafe;
  }
  return safety;
}

namespace {

// As many as there were sets of loaded objects.
struct KnownFunctions {
  FunctionMap map;
  const KnownFunctions* before;
};

// Of the latest PrepareToFindCFrames(). Those before it are not freed: somebody
// may be looking at one. Release, paired with the acquire load in FindCFrame().
std::atomic<const KnownFunctions*> g_functions{nullptr};

// Held while symbols are read, for which fork() does not wait.
ForkMutex g_preparing;

bool IsOfC(const Frame& frame, const FunctionMap& functions) {
  UnwindEntry entry;
  if (FindUnwindEntry(frame.lookup_pc, &entry) == UnwindLookup::kFound &&
      entry.personality != 0) {
    return false;
  }
  const std::optional<Function> function =
      functions.Containing(frame.lookup_pc);
  // Loaded since then: by code that is built as ours is.
  if (!function.has_value()) return false;
  const auto names = function->linkage_names();
  return std::none_of(names.begin(), names.end(), [](const char* name) {
    return absl::StartsWith(name, "_Z") || absl::StartsWith(name, "instar_") ||
           absl::string_view(name) == "main";
  });
}

}  // namespace

void PrepareToFindCFrames() {
  std::lock_guard<ForkMutex> lock(g_preparing);
  const KnownFunctions* const known =
      g_functions.load(std::memory_order_relaxed);
  if (known != nullptr && known->map.IsCurrent()) return;
  g_functions.store(new KnownFunctions{FunctionMap::Preload(), known},
                    std::memory_order_release);
}

std::optional<Frame> FindCFrame(const StackSnapshot& snapshot,
                                std::uintptr_t catcher) {
  const KnownFunctions* const functions =
      g_functions.load(std::memory_order_acquire);
  if (functions == nullptr) return std::nullopt;
  StackSnapshot start = snapshot;
  start.switcher = nullptr;
  std::optional<Frame> found;
  // The last frame may be the catcher, which shows at the next.
  std::optional<Frame> last;
  WalkStack(start, [&](const Frame& frame) {
    if ((catcher != 0 && frame.sp > catcher) ||
        (catcher == 0 && IsContinuletBase(frame.pc))) {
      return false;
    }
    if (last.has_value() && IsOfC(*last, functions->map)) {
      found = last;
      return false;
    }
    last = frame;
    return true;
  });
  return found;
}

std::string UnwindSafety::ToString() const {
  switch (verdict) {
    case Verdict::kSafe:
      if (catch_all_frames == 0) return "safe";
      return absl::StrCat("safe, unless a catch (...) keeps it: first at pc 0x",
                          absl::Hex(first_catch_all.pc), ", frame ",
                          first_catch_all.depth);
    case Verdict::kUnsafe:
      return absl::StrCat("unsafe: ", instar::ToString(effect.outcome),
                          " at pc 0x", absl::Hex(frame.pc), ", frame ",
                          frame.depth);
    case Verdict::kThroughC:
      return absl::StrCat("not through C, which releases nothing: at pc 0x",
                          absl::Hex(frame.pc), ", frame ", frame.depth);
    case Verdict::kUnknown:
      break;
  }
  return absl::StrCat("unknown: ", walk.complete()
                                       ? "the catcher is not on the stack"
                                       : walk.ToString());
}

}  // namespace instar

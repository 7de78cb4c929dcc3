// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a thread does at an update point.

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/forced_unwind.h"
#include "continuation/continulet.h"
#include "continuation/paused_computations.h"
#include "stack/stack_walker.h"
#include "threads/internal/frame_names.h"
#include "threads/internal/pending_request.h"
#include "threads/internal/request_worker.h"
#include "threads/known_names.h"
#include "threads/update_point_watch.h"

namespace instar {

using threads_internal::PendingRequest;
using threads_internal::Point;
using threads_internal::RequestWorker;
using threads_internal::ThreadRecord;
using Phase = PendingRequest::Phase;

namespace {

constexpr std::size_t kUpdateStackSize = 256 << 10;  // bytes
constexpr std::chrono::nanoseconds kFirstBackoff =
    std::chrono::microseconds(100);
constexpr std::chrono::nanoseconds kLastBackoff = std::chrono::milliseconds(4);
// What an attempt takes is at most 1/25 of the time until the next one.
constexpr int kRestPerAttempt = 25;
// The first is different: it reads what the later ones find read.
constexpr std::chrono::nanoseconds kLastRestAfterFirst =
    std::chrono::milliseconds(50);

}  // namespace

class UpdateRunner {
 public:
  // Tries each request that is due here, until one reboots the thread, or
  // replaces an activation.
  static void RunDue(const std::shared_ptr<ThreadRecord>& record,
                     const Point& point) {
    std::vector<std::shared_ptr<PendingRequest>> requests;
    {
      std::lock_guard<std::mutex> lock(record->lock);
      requests = record->requests;
    }
    for (const auto& request : requests) {
      if (record->new_main || HasCall(*record)) break;
      {
        std::lock_guard<std::mutex> guard(request->lock);
        if (request->phase != Phase::kPending ||
            PendingRequest::Clock::now() < request->due ||
            !Accepts(*request, point)) {
          continue;
        }
        request->phase = Phase::kTrying;
      }
      Try(record, request, point);
    }
    ForgetFinished(*record);
    RequestWorker::Get().Notify();
  }

  // Of the calling thread, which has come to this point.
  static PointRequests RequestsAt(ThreadRecord& record, const Point& point) {
    std::lock_guard<std::mutex> lock(record.lock);
    PointRequests requests = PointRequests::kNone;
    for (const auto& request : record.requests) {
      std::lock_guard<std::mutex> guard(request->lock);
      if (request->phase == Phase::kFinished) continue;
      // One that reboots the thread is not tried again.
      if (request->phase != Phase::kRebooting &&
          request->tried_at != record.arrivals && Accepts(*request, point)) {
        return PointRequests::kUntried;
      }
      requests = PointRequests::kTried;
    }
    return requests;
  }

 private:
  static bool HasCall(ThreadRecord& record) {
    const std::lock_guard<std::mutex> lock(record.lock);
    return static_cast<bool>(record.when_it_goes_on);
  }

  static bool Accepts(const PendingRequest& request, const Point& point) {
    switch (point.kind) {
      case Point::Kind::kExplicit:
        return request.options.point.empty() ||
               request.options.point == point.name;
      case Point::Kind::kEntry:
        return request.AcceptsEntries();
      case Point::Kind::kLoop:
        // An update function may do anything with memory.
        return request.AcceptsEntries() && point.allows != PointAllows::kHold;
      case Point::Kind::kAfterBlocking:
        return request.options.interrupt_blocking_calls &&
               (request.options.point.empty() ||
                request.options.point == point.name);
    }
    return false;
  }

  static void Try(const std::shared_ptr<ThreadRecord>& record,
                  const std::shared_ptr<PendingRequest>& request,
                  const Point& point) {
    const auto begin = PendingRequest::Clock::now();
    UpdateContext context(ThreadRef(record), point.name, point.stack,
                          point.allows);
    Attempt attempt = Run(*record, *request, context);
    if (attempt.is_done() && context.new_main_) {
      record->new_main = std::move(context.new_main_);
      record->reboots_through_c = context.through_c_;
      record->rebooting = request;
      std::lock_guard<std::mutex> lock(record->lock);
      SetAttention(*record, threads_internal::kAttentionReboot, true);
    }
    std::lock_guard<std::mutex> guard(request->lock);
    ++request->attempts;
    request->tried_at = record->arrivals;
    request->reason = attempt.reason();
    if (attempt.is_failed()) {
      request->FinishLocked(attempt.status());
    } else if (attempt.is_not_yet()) {
      request->backoff = request->backoff.count() == 0
                             ? kFirstBackoff
                             : std::min(2 * request->backoff, kLastBackoff);
      const auto now = PendingRequest::Clock::now();
      std::chrono::nanoseconds cost = now - begin;
      if (request->AcceptsEntries()) {
        cost += RequestWorker::Get().interception_cost();
      }
      std::chrono::nanoseconds rest = kRestPerAttempt * cost;
      if (request->attempts == 1) rest = std::min(rest, kLastRestAfterFirst);
      request->due = now + std::max(request->backoff, rest);
      request->phase = Phase::kPending;
    } else if (record->new_main) {
      request->phase = Phase::kRebooting;
    } else {
      request->FinishLocked(absl::OkStatus());
    }
  }

  // In a continulet of its own.
  static Attempt Run(ThreadRecord& record, PendingRequest& request,
                     UpdateContext& context) {
    Attempt attempt = Attempt::NotYet("");
    auto continulet = Continulet<void()>::Make(
        "update function",
        [&](auto&) { attempt = Call(request.function, context); },
        kUpdateStackSize);
    if (!continulet.ok()) {
      return Attempt::NotYet(absl::StrCat("no stack for the update function: ",
                                          continulet.status().message()));
    }
    {
      std::lock_guard<std::mutex> lock(record.lock);
      record.in_update_function = true;
      Move(record, ThreadState::kInUpdateFunction);
    }
    continulet->Switch();
    std::lock_guard<std::mutex> lock(record.lock);
    record.in_update_function = false;
    Move(record, ThreadState::kAtUpdatePoint);
    return attempt;
  }

  INSTAR_CATCHES_FORCED_UNWIND static Attempt Call(UpdateFunction& function,
                                                   UpdateContext& context) {
    try {
      return function(context);
    } catch (const std::exception& exception) {
      return Attempt::Failed(absl::InternalError(
          absl::StrCat("the update function threw: ", exception.what())));
    } catch (const abi::__forced_unwind&) {
      throw;  // the thread ends, by pthread_exit() or pthread_cancel()
    } catch (...) {
      return Attempt::Failed(absl::InternalError(
          "the update function threw what is no std::exception"));
    }
  }
};

UpdateContext::UpdateContext(ThreadRef thread, absl::string_view point,
                             const StackSnapshot& stack, PointAllows allows)
    : thread_(std::move(thread)),
      point_(point),
      stack_(stack),
      allows_(allows) {
  VisitPausedComputationsOfThisThread([&](const PausedComputation& paused) {
    const StackSnapshot snapshot = SnapshotOf(paused.context);
    // Those that wait for the update function are on the stack itself.
    for (const StackSnapshot* own = &stack; own != nullptr;
         own = own->switcher) {
      if (own->bounds.high == snapshot.bounds.high) return;
    }
    // Fibers of others come last.
    if (paused.tid != 0) ++own_continulets_;
    paused_continulets_.push_back(snapshot);
  });
}

Attempt UpdateContext::Reboot(absl::AnyInvocable<void()> new_main,
                              RebootOptions options) {
  INSTAR_CHECK(new_main != nullptr) << "a thread is rebooted into a function";
  if (!thread_.record()->has_base) {
    return Attempt::Failed(absl::FailedPreconditionError(absl::StrCat(
        "thread '", thread_.name(),
        "' is a ControlledThisThread, which has no function that a reboot "
        "could end; run what it does by RunControlled()")));
  }
  if (allows_ != PointAllows::kReboot) {
    return Attempt::NotYet(
        absl::StrCat("the thread's stack cannot be unwound from here: ",
                     threads_internal::kNoExceptionFromLoop));
  }
  if (!options.through_c) PrepareToFindCFrames();
  UnwindSafety safety = threads_internal::CheckUnwindToBase(
      stack_, thread_.record()->base_frame, options.through_c);
  // They are cancelled if their owner is on the stack, which nobody knows.
  for (std::size_t i = 0; i < own_continulets_ && safety.safe(); ++i) {
    safety = threads_internal::CheckCancellation(paused_continulets_[i],
                                                 options.through_c);
  }
  if (!safety.safe()) {
    return Attempt::NotYet(
        absl::StrCat("the thread's stack cannot be unwound from here: ",
                     threads_internal::Describe(safety)));
  }
  new_main_ = std::move(new_main);
  through_c_ = options.through_c;
  return Attempt::Done();
}

namespace threads_internal {

namespace {

UnwindSafety CheckStack(const StackSnapshot& stack, std::uintptr_t catcher,
                        bool through_c) {
  UnwindSafety safety = CheckUnwindSafety(stack, catcher);
  if (!safety.safe() || through_c) return safety;
  if (const std::optional<Frame> frame = FindCFrame(stack, catcher)) {
    safety.verdict = UnwindSafety::Verdict::kThroughC;
    safety.frame = *frame;
  }
  return safety;
}

}  // namespace

UnwindSafety CheckUnwindToBase(const StackSnapshot& stack,
                               std::uintptr_t base_frame, bool through_c) {
  // What leaves a continulet arrives at whoever switched to it.
  const StackSnapshot* part = &stack;
  for (; part->switcher != nullptr; part = part->switcher) {
    UnwindSafety safety = CheckStack(*part, 0, through_c);
    if (!safety.safe()) return safety;
  }
  return CheckStack(*part, base_frame, through_c);
}

UnwindSafety CheckCancellation(const StackSnapshot& paused, bool through_c) {
  return CheckStack(paused, 0, through_c);
}

std::vector<StackSnapshot> LinkAllSwitchers(StackSnapshot* first) {
  std::vector<StackSnapshot> room;
  while (LinkSwitchers(first, room.data(), static_cast<int>(room.size())) < 0) {
    room.resize(2 * room.size() + 4);
  }
  return room;
}

class RebootThrower {
 public:
  [[noreturn]] static void Throw(std::shared_ptr<const ThreadRecord> thread) {
    throw ThreadRebooted(std::move(thread));
  }
};

namespace {

bool IsInSignalHandler(const StackSnapshot& stack) {
  return WalkStack(stack, [](const Frame&) { return true; }).end ==
         WalkEnd::kSignalFrame;
}

bool IsOnSignalStack() {
  stack_t stack;
  return sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_ONSTACK);
}

// Who looks at the thread's stacks would not see this one, nor others like it.
void RefuseUnknownStack(ThreadRecord& record) {
  const std::string reason = absl::StrCat(
      "it came to an update point on a stack that is neither its own nor a "
      "continulet's nor declared: a fiber of ucontext, Boost or folly. Declare "
      "such stacks (continuation/foreign_stacks.h), or put the update point "
      "outside of fibers");
  static std::atomic<bool> said{false};
  if (!said.exchange(true, std::memory_order_relaxed)) {
    std::fprintf(stderr, "Instar: thread '%s': %s\n", record.name.c_str(),
                 reason.c_str());
  }
  std::lock_guard<std::mutex> lock(record.lock);
  for (const auto& request : record.requests) {
    std::lock_guard<std::mutex> guard(request->lock);
    request->reason = reason;
  }
}

// Of the thread of `record`, at this point.
void DoWhatIsAsked(const std::shared_ptr<ThreadRecord>& record,
                   const Point& point) {
  bool reboots = false;
  absl::AnyInvocable<void()> call;
  {
    std::unique_lock<std::mutex> lock(record->lock);
    Move(*record, ThreadState::kAtUpdatePoint);
    record->is_at_point = true;
    record->allows = point.allows;
    if (IsHeldAt(*record, &point.stack, point.name)) {
      WaitWhileHeld(*record, lock, &point.stack, point.name);
      Move(*record, ThreadState::kAtUpdatePoint);
    }
    // If it does not return from here, update functions run where it goes to.
    const bool returns = !record->when_it_goes_on;
    lock.unlock();
    if (returns && (this_thread.attention.load(std::memory_order_relaxed) &
                    kAttentionUpdate) != 0) {
      UpdateRunner::RunDue(record, point);
    }
    lock.lock();
    if (IsHeldAt(*record, &point.stack, point.name)) {
      WaitWhileHeld(*record, lock, &point.stack, point.name);
      Move(*record, ThreadState::kAtUpdatePoint);
    }
    Move(*record, ResumeState(*record));
    record->is_at_point = false;
    record->allows = PointAllows::kReboot;
    call = std::exchange(record->when_it_goes_on, nullptr);
    lock.unlock();
    // Begun here, or by who held it.
    reboots = record->new_main && point.allows == PointAllows::kReboot &&
              CheckUnwindToBase(point.stack, record->base_frame,
                                record->reboots_through_c)
                  .safe();
  }
  if (call) call();
  if (reboots) RebootThrower::Throw(record);
}

}  // namespace

void ArriveAt(Point point) {
  PerThread& mine = this_thread;
  if (mine.record == nullptr || mine.busy.load(std::memory_order_relaxed) ||
      mine.no_update_depth.load(std::memory_order_relaxed) != 0) {
    return;
  }
  const ThreadState state = mine.record->state.load(std::memory_order_relaxed);
  if (state != ThreadState::kRunning && state != ThreadState::kRebooting) {
    return;  // in a blocking region, or before the thread's begin
  }
  const Busy busy;
  if (!point.stack.bounds.Contains(point.stack.sp)) {
    if (!IsOnSignalStack()) RefuseUnknownStack(*mine.record);
    return;
  }
  const auto room = LinkAllSwitchers(&point.stack);
  if (point.kind != Point::Kind::kEntry && IsInSignalHandler(point.stack)) {
    return;
  }
  if (!point.name.empty()) NoteUpdatePoint(point.name);
  // Shared: an update function may keep it.
  const std::shared_ptr<ThreadRecord> record = mine.record->shared_from_this();
  UpdatePointWatch* const watch =
      point.kind == Point::Kind::kAfterBlocking ||
              point.kind == Point::Kind::kLoop
          ? nullptr
          : update_point_watch.load(std::memory_order_acquire);
  if (watch != nullptr) ++record->arrivals;
  do {
    DoWhatIsAsked(record, point);
  } while (watch != nullptr &&
           watch->Stays(WatchedPoint{
               record->name, record->kind, point.name, point.function,
               point.stack, UpdateRunner::RequestsAt(*record, point)}));
}

absl::AnyInvocable<void()> TakeNewMain(ThreadRecord& record) {
  if (!record.new_main) return nullptr;
  absl::AnyInvocable<void()> taken = std::move(record.new_main);
  record.new_main = nullptr;
  {
    std::lock_guard<std::mutex> lock(record.lock);
    SetAttention(record, kAttentionReboot, false);
    if (record.state.load(std::memory_order_relaxed) != ThreadState::kRunning) {
      Move(record, ThreadState::kRunning);
    }
  }
  const std::shared_ptr<PendingRequest> request = std::move(record.rebooting);
  record.rebooting = nullptr;
  request->Finish(absl::OkStatus());
  ForgetFinished(record);
  RequestWorker::Get().Notify();
  return taken;
}

void GiveUpReboot(ThreadRecord& record) {
  absl::AnyInvocable<void()> dropped;
  std::shared_ptr<PendingRequest> request;
  {
    std::lock_guard<std::mutex> lock(record.lock);
    if (!record.new_main) return;
    dropped = std::move(record.new_main);
    record.new_main = nullptr;
    request = std::move(record.rebooting);
    record.rebooting = nullptr;
    SetAttention(record, kAttentionReboot, false);
  }
  request->Finish(absl::AbortedError(absl::StrCat(
      "thread '", record.name,
      "' ended before it was rebooted: something on its stack threw another "
      "exception while it was unwound, or ended the thread")));
}

}  // namespace threads_internal
}  // namespace instar

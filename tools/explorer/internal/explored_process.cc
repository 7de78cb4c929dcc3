// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/internal/explored_process.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "base/linux/own_thread.h"
#include "base/linux/tasks.h"
#include "code/entry_interception.h"
#include "code/symbols/function.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "threads/thread_ref.h"
#include "threads/update_point_watch.h"
#include "tools/explorer/internal/run_record.h"
#include "updates/internal/where_is.h"
#include "updates/quiescence/blocker.h"
#include "updates/update.h"

namespace instar {
namespace explorer_internal {
namespace {

constexpr std::size_t kMostFrames = 64;
// Between two looks of the thread that stays.
constexpr std::chrono::microseconds kLook(50);
// How often an update is in the way of the thread that stays before that is
// believed: on a busy machine it may have come too late for one attempt.
constexpr int kOwnAttempts = 4;
// How often it may wait for others.
constexpr int kAttempts = 20;
// For how long, in all, a thread stays for the sake of others, where it may go
// on before the update is there.
constexpr std::chrono::milliseconds kForOthers(200);

bool IsOfUpdatePoint(std::uintptr_t pc) {
  const absl::StatusOr<Function> function = Function::Containing(pc);
  if (!function.ok()) return false;
  const std::string name = function->name();
  return absl::StartsWith(name, "instar::UpdatePoint(") ||
         absl::StartsWith(name, "instar::threads_internal::");
}

std::vector<std::uintptr_t> FramesOf(const StackSnapshot& stack) {
  std::vector<std::uintptr_t> pcs;
  WalkStack(stack, [&](const Frame& frame) {
    pcs.push_back(frame.lookup_pc);
    return pcs.size() < kMostFrames;
  });
  return pcs;
}

std::size_t CountLines(int file) {
  std::size_t lines = 0;
  char buffer[1 << 12];
  off_t at = 0;
  while (true) {
    const ssize_t got = pread(file, buffer, sizeof(buffer), at);
    if (got <= 0) return lines;
    lines += static_cast<std::size_t>(std::count(buffer, buffer + got, '\n'));
    at += got;
  }
}

// The same in all runs: no thread's number, no time, and not where one that has
// not come was found.
std::string TextOf(const std::vector<Blocker>& blockers) {
  std::vector<std::string> texts;
  for (const Blocker& blocker : blockers) {
    const std::string reason =
        blocker.reason.substr(0, blocker.reason.find("; it is in "));
    std::string text =
        blocker.thread.empty()
            ? reason
            : absl::StrCat("thread '", blocker.thread, "': ", reason);
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) {
      texts.push_back(std::move(text));
    }
  }
  return absl::StrJoin(texts, "; ");
}

// The points of one thread, or of several of its name, one after the other.
struct Trace {
  std::size_t count = 0;
  std::vector<RecordedPoint> points;
  // By program counter: whether it is in the library, at an update point.
  std::unordered_map<std::uintptr_t, bool> in_library;
};

struct MyTrace {
  Trace* trace = nullptr;
  bool is_known = false;
  bool has_come = false;  // to the point, and the update may not be there yet
};
thread_local MyTrace my_trace;

class ExploredProcess final : public UpdatePointWatch {
 public:
  ExploredProcess(const RunOrder& order, const ExploredUpdate& update,
                  int record)
      : order_(order), update_(update), record_(record) {}

  [[noreturn]] void Run(const std::function<void()>& workload);

  bool Stays(const WatchedPoint& point) override;

 private:
  [[noreturn]] void Refuse(const std::string& why) {
    WriteRefusal(record_, why);
    _exit(0);
  }

  // Null if it does not count.
  Trace* TraceOf(const std::string& thread);
  RecordedPoint Recorded(const WatchedPoint& point, Trace& trace);
  // Whether the thread that has come to the point stays there, or at a later
  // one.
  bool StaysForUpdate(PointRequests requests);
  // Whether the update waits for the calling thread, again and again.
  bool NamesThisThread(const Update& update);
  void GiveUp(Update& update);
  // Whether what has not been done of the update is for a later point.
  bool GoesOnWithout(const Update& update, PointRequests requests);

  void ApplyBefore();
  void Drive();
  static std::string FunctionsOf(pid_t tid);
  void Guard();

  const RunOrder& order_;
  const ExploredUpdate& update_;
  const int record_;

  std::mutex lock_;  // of what follows; not held at an update point
  std::condition_variable changed_;
  std::map<std::string, std::unique_ptr<Trace>> traces_;
  bool is_asked_ = false;
  bool is_answered_ = false;
  bool is_given_up_ = false;
  // Not while its driver is about to make it; it outlives the process.
  Update* applied_ = nullptr;
  std::string in_its_way_;

  // Of the thread that stays.
  int attempts_ = 0;
  int own_attempts_ = 0;
  std::chrono::nanoseconds stayed_for_others_{0};
  bool has_gone_on_ = false;
};

Trace* ExploredProcess::TraceOf(const std::string& thread) {
  if (my_trace.is_known) return my_trace.trace;
  my_trace.is_known = true;
  const auto& threads = order_.threads;
  if (!threads.empty() &&
      std::find(threads.begin(), threads.end(), thread) == threads.end()) {
    return nullptr;
  }
  if (ControlledThreads(thread).size() > 1) {
    Refuse(absl::StrCat(
        "there are two threads '", thread,
        "' at once, whose update points cannot be told apart: give them names "
        "of their own, or leave them out (ExplorerOptions::threads)"));
  }
  std::lock_guard<std::mutex> lock(lock_);
  std::unique_ptr<Trace>& trace = traces_[thread];
  if (trace == nullptr) trace = std::make_unique<Trace>();
  return my_trace.trace = trace.get();
}

RecordedPoint ExploredProcess::Recorded(const WatchedPoint& point,
                                        Trace& trace) {
  if (point.function != 0) return {true, point.function, ""};
  std::uintptr_t caller = 0;
  WalkStack(point.stack, [&](const Frame& frame) {
    caller = frame.lookup_pc;
    const auto [known, is_new] = trace.in_library.try_emplace(caller, false);
    if (is_new) known->second = IsOfUpdatePoint(caller);
    return known->second;
  });
  return {false, caller, std::string(point.name)};
}

bool ExploredProcess::Stays(const WatchedPoint& point) {
  if (my_trace.has_come) return StaysForUpdate(point.requests);
  Trace* const trace = TraceOf(point.thread);
  if (trace == nullptr) return false;
  ++trace->count;
  if (order_.when == RunOrder::When::kNever) {
    trace->points.push_back(Recorded(point, *trace));
    return false;
  }
  if (trace->count != order_.number || point.thread != order_.thread) {
    return false;
  }
  WritePoint(record_, Recorded(point, *trace), FramesOf(point.stack),
             CountLines(STDOUT_FILENO));
  {
    std::lock_guard<std::mutex> lock(lock_);
    is_asked_ = true;
  }
  changed_.notify_all();
  my_trace.has_come = true;
  return true;
}

bool ExploredProcess::StaysForUpdate(PointRequests requests) {
  Update* update;
  {
    std::lock_guard<std::mutex> lock(lock_);
    if (is_answered_) return my_trace.has_come = false;
    update = is_given_up_ ? nullptr : applied_;
  }
  if (update != nullptr) {
    if (!update_.is_one_moment()) {
      if (GoesOnWithout(*update, requests)) return false;
    } else if (NamesThisThread(*update) || attempts_ >= kAttempts) {
      GiveUp(*update);
    }
  }
  std::this_thread::sleep_for(kLook);
  return true;
}

bool ExploredProcess::NamesThisThread(const Update& update) {
  const UpdateProgress progress = update.Progress();
  if (progress.attempts > attempts_) {
    attempts_ = progress.attempts;
    const pid_t own = gettid();
    const bool is_own =
        std::any_of(progress.blockers.begin(), progress.blockers.end(),
                    [own](const Blocker& b) { return b.tid == own; });
    own_attempts_ = is_own ? own_attempts_ + 1 : 0;
  }
  return own_attempts_ >= kOwnAttempts;
}

bool ExploredProcess::GoesOnWithout(const Update& update,
                                    PointRequests requests) {
  if (requests == PointRequests::kUntried) return false;
  const std::vector<Blocker> blockers = update.Progress().blockers;
  // On a busy machine it may not have begun yet.
  if (blockers.empty()) return false;
  if (requests == PointRequests::kNone && !NamesThisThread(update) &&
      stayed_for_others_ < kForOthers) {
    stayed_for_others_ += kLook;
    return false;
  }
  own_attempts_ = 0;
  if (has_gone_on_) return true;
  has_gone_on_ = true;
  const std::string why = TextOf(blockers);
  std::lock_guard<std::mutex> lock(lock_);
  // It may have been answered meanwhile; that counts.
  if (!is_answered_) WriteAnswer(record_, Answer::kPending, why);
  return true;
}

void ExploredProcess::GiveUp(Update& update) {
  {
    std::lock_guard<std::mutex> lock(lock_);
    is_given_up_ = true;
    in_its_way_ = TextOf(update.Progress().blockers);
  }
  update.Cancel();
}

void ExploredProcess::ApplyBefore() {
  absl::StatusOr<std::unique_ptr<Update>> made = update_.Make();
  absl::Status status = made.status();
  if (made.ok()) {
    Update* const update = made->release();
    absl::StatusOr<std::vector<Blocker>> blockers = update->Rehearse({});
    if (blockers.ok() && !blockers->empty()) {
      WriteAnswer(record_, Answer::kNotYet, TextOf(*blockers));
      _exit(0);
    }
    status = blockers.status();
    ApplyOptions options;
    options.timeout = 2 * order_.patience;  // the process ends before
    if (status.ok()) status = update->Apply(options);
  }
  WriteAnswer(record_, status.ok() ? Answer::kApplied : Answer::kFailed,
              status.message());
  if (!status.ok()) {
    WriteReturned(record_);
    _exit(0);
  }
}

void ExploredProcess::Drive() {
  {
    std::unique_lock<std::mutex> lock(lock_);
    changed_.wait(lock, [this] { return is_asked_; });
  }
  absl::StatusOr<std::unique_ptr<Update>> made = update_.Make();
  absl::Status status = made.status();
  if (made.ok()) {
    Update* const update = made->release();
    {
      std::lock_guard<std::mutex> lock(lock_);
      applied_ = update;
    }
    ApplyOptions options;
    options.timeout = 2 * order_.patience;  // the process ends before
    status = update->Apply(options);
  }
  std::lock_guard<std::mutex> lock(lock_);
  if (is_given_up_ && absl::IsCancelled(status)) {
    WriteAnswer(record_, Answer::kNotYet, in_its_way_);
    _exit(0);
  }
  WriteAnswer(record_, status.ok() ? Answer::kApplied : Answer::kFailed,
              status.message());
  is_answered_ = true;
}

// "f() <- main". A thread that gets no processor in the time in which it is
// waited for, as on a busy machine, is looked at again.
std::string ExploredProcess::FunctionsOf(pid_t tid) {
  constexpr int kTries = 20;
  for (int i = 0; i < kTries; ++i) {
    const std::vector<std::string> functions = updates_internal::WhereIs(tid);
    if (!functions.empty()) return absl::StrJoin(functions, " <- ");
  }
  return "what cannot be told: its stack could not be walked";
}

void ExploredProcess::Guard() {
  std::this_thread::sleep_until(DeadlineAfter(order_.patience));
  std::vector<pid_t> tids;
  VisitTasks([&](pid_t tid) {
    if (!IsOwnThread(tid)) tids.push_back(tid);
    return true;
  });
  std::vector<std::string> where;
  for (const pid_t tid : tids) {
    std::string name = "a thread";
    for (const ThreadRef& thread : ControlledThreads()) {
      if (thread.tid() == tid) {
        name = absl::StrCat("thread '", thread.name(), "'");
      }
    }
    if (tid == getpid()) name = "the first thread";
    where.push_back(absl::StrCat(name, " is in ", FunctionsOf(tid)));
  }
  WriteStuck(record_, where);
  _exit(0);
}

void ExploredProcess::Run(const std::function<void()>& workload) {
  // For as long as the process is there.
  static absl::StatusOr<EntryInterception> entries = EntryInterception::OfAll();
  if (!entries.ok()) {
    Refuse(absl::StrCat("function entries cannot be intercepted: ",
                        entries.status().message()));
  }
  WatchUpdatePoints(this);
  const auto start = [this](const char* name, void (ExploredProcess::*body)()) {
    absl::StatusOr<std::thread> thread =
        StartOwnThread(name, [this, body] { (this->*body)(); });
    if (!thread.ok()) Refuse(std::string(thread.status().message()));
    thread->detach();
  };
  start("instar-guard", &ExploredProcess::Guard);
  if (order_.when == RunOrder::When::kBeforeTheWorkload) ApplyBefore();
  if (order_.when == RunOrder::When::kAtPoint) {
    start("instar-drive", &ExploredProcess::Drive);
  }
  workload();
  std::cout.flush();
  std::fflush(nullptr);
  for (const auto& [name, trace] : traces_) {
    if (order_.when == RunOrder::When::kNever) {
      WritePoints(record_, name, trace->points);
    }
  }
  WriteReturned(record_);
  _exit(0);
}

}  // namespace

void RunExplored(const RunOrder& order, const std::function<void()>& workload,
                 const ExploredUpdate& update, int record) {
  // It is used by threads until the process has ended.
  auto* const process = new ExploredProcess(order, update, record);
  process->Run(workload);
}

}  // namespace explorer_internal
}  // namespace instar

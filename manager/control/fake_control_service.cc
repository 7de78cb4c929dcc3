// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/fake_control_service.h"

#include <unistd.h>

#include <cstddef>
#include <utility>

#include "absl/status/status.h"

namespace instar {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

SystemTime At(std::int64_t unix_seconds) {
  return SystemTime(seconds(unix_seconds));
}

std::string Contents(const ModuleSource& module) {
  char bytes[100];
  const ssize_t size = module.file == nullptr ? 0
                                              : pread(module.file->number(),
                                                      bytes, sizeof(bytes), 0);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : "";
}

Blocker SampleBlocker() {
  Blocker blocker;
  blocker.thread = "socket";
  blocker.tid = 4243;
  blocker.function = "shop::DoCommand(std::string const&)";
  blocker.frame = 2;
  blocker.since = milliseconds(1500);
  blocker.reason = "DoCommand is active";
  blocker.remedy = "the thread leaves it when its client sends a command";
  return blocker;
}

}  // namespace

ProgramReport SampleProgram() {
  ProgramReport program;
  program.name = "shop";
  program.pid = 4242;
  program.build_id = "0123456789abcdef";
  program.executable = "/opt/shop/shop";
  program.started = At(1'700'000'000);
  program.requests = 2000;
  program.errors = 7;
  return program;
}

StatusReport SampleStatus() {
  StatusReport status;
  status.program = SampleProgram();
  status.remarks = {"shop::Price runs old code: its entry was changed"};

  status.threads.resize(2);
  status.threads[0].name = "display";
  status.threads[0].tid = 4242;
  status.threads[0].state = ThreadState::kRunning;
  status.threads[0].is_registered = true;
  status.threads[1].name = "socket";
  status.threads[1].tid = 4243;
  status.threads[1].kind = ThreadKind::kPassive;
  status.threads[1].state = ThreadState::kBlocked;

  AppliedReport& applied = status.applied.emplace_back();
  applied.update = "ratings";
  applied.module = "/opt/shop/add_ratings.so";
  applied.applied = At(1'700'000'060);
  applied.hold_times = {2, microseconds(85), microseconds(120), 1,
                        microseconds(90)};
  applied.elapsed = microseconds(210);
  applied.is_converting = true;
  applied.can_undo = absl::FailedPreconditionError("display was rebooted");
  applied.lost_by_undo = {"convert Product: what only ProductV2 holds"};

  PendingReport& pending = status.pending.emplace_back();
  pending.kind = PendingKind::kUndo;
  pending.update = "show_ratings";
  pending.module = "/opt/shop/show_ratings.so";
  pending.waits_for = "the update ratings";
  pending.timeout = seconds(30);
  pending.elapsed = milliseconds(1600);
  pending.progress.phase = UpdatePhase::kWaiting;
  pending.progress.attempts = 3;
  pending.progress.elapsed = milliseconds(1550);
  pending.progress.blockers = {SampleBlocker()};
  pending.progress.objects_converted = 40;
  pending.progress.objects_total = 160;
  pending.progress.is_converting = true;

  ObjectCounts& counts = status.classes.emplace_back();
  counts.class_name = "shop::Product";
  counts.by_version = {{"shop::Product", 120}, {"ProductV2", 40}};
  counts.subclasses = {{"shop::Book", 3}};
  counts.being_converted = 1;
  counts.failed = 2;
  counts.outside = 4;
  counts.automatic = 3;
  counts.untracked = 5;
  status.kept = SampleUnload().kept;
  return status;
}

UpdateReport SampleUpdate() {
  UpdateReport update;
  update.update = "ratings";
  update.attempts = 3;
  update.hold_times = {2, microseconds(85), microseconds(120), 1,
                       microseconds(90)};
  update.elapsed = microseconds(1210);
  update.queued = microseconds(10);
  update.loading = microseconds(700);
  update.preparing = microseconds(300);
  update.applying = microseconds(200);
  update.objects_converted = 160;
  update.remarks = {"thread 4245 is not registered, and is not waited for"};
  return update;
}

CheckReport SampleCheck() {
  CheckReport check;
  check.update = "ratings";
  check.kind = ModuleKind::kThreadUpdates;
  check.code_size = 4321;
  check.loaded_size = 20'480;
  check.required = {"base"};
  check.forecast.steps = {"redefine DoCommand", "convert Product lazily"};
  check.forecast.obstacles = {"DoCommand is active in the thread socket"};
  check.forecast.remarks = {"160 objects of Product"};
  check.forecast.lost_by_undo = {"convert Product: what only ProductV2 holds"};
  check.blockers = {SampleBlocker()};
  return check;
}

UnloadReport SampleUnload() {
  return {"marks",
          1,
          {{"marks", "marks.0123456700000002.so",
            "something leads to shop::Mark(): the heap, at 0x1000"}}};
}

std::vector<ImageReport> SampleImages() {
  return {{"", "", "0123"},
          {"/opt/lib/libshop.so.1.2", "libshop.so.1", "4567"}};
}

std::vector<JournalEntry> SampleJournal() {
  return {{At(1'700'000'000), 4242, "started", "", ""},
          {At(1'700'000'060), 4242, "applied", "ratings",
           "held 2 threads for 120 us at most"},
          {At(1'700'000'061), 4242, "failed", "more", "a symbol is missing"}};
}

FakeControlService::Call FakeControlService::Next() {
  std::unique_lock<std::mutex> lock(lock_);
  added_.wait(lock, [this] { return !calls_.empty(); });
  Call call = std::move(calls_.front());
  calls_.pop_front();
  return call;
}

void FakeControlService::set_status(StatusReport status) {
  const std::lock_guard<std::mutex> lock(lock_);
  status_ = std::move(status);
}

void FakeControlService::set_journal(
    absl::StatusOr<std::vector<JournalEntry>> journal) {
  const std::lock_guard<std::mutex> lock(lock_);
  journal_ = std::move(journal);
}

void FakeControlService::set_cancel_result(
    absl::StatusOr<std::vector<std::string>> result) {
  const std::lock_guard<std::mutex> lock(lock_);
  cancel_result_ = std::move(result);
}

std::vector<std::string> FakeControlService::cancelled() const {
  const std::lock_guard<std::mutex> lock(lock_);
  return cancelled_;
}

void FakeControlService::WaitForCancel() {
  std::unique_lock<std::mutex> lock(lock_);
  added_.wait(lock, [this] { return !cancelled_.empty(); });
}

std::vector<Requester> FakeControlService::refused() const {
  const std::lock_guard<std::mutex> lock(lock_);
  return refused_;
}

void FakeControlService::Refused(const Requester& who, const absl::Status&) {
  const std::lock_guard<std::mutex> lock(lock_);
  refused_.push_back(who);
}

std::thread::id FakeControlService::caller() const {
  const std::lock_guard<std::mutex> lock(lock_);
  return caller_;
}

void FakeControlService::Add(Call call) {
  const std::lock_guard<std::mutex> lock(lock_);
  caller_ = std::this_thread::get_id();
  calls_.push_back(std::move(call));
  added_.notify_all();
}

void FakeControlService::Load(ModuleSource module,
                              std::chrono::nanoseconds timeout,
                              const Requester& by, Done<UpdateReport> done) {
  Add({"load", std::move(module.path), Contents(module), timeout, by,
       std::move(done), nullptr});
}

void FakeControlService::Undo(std::string update,
                              std::chrono::nanoseconds timeout,
                              const Requester& by, Done<UpdateReport> done) {
  Add({"undo", std::move(update), "", timeout, by, std::move(done), nullptr});
}

void FakeControlService::Check(ModuleSource module, bool without_stacks,
                               Done<CheckReport> done) {
  Add({without_stacks ? "check without stacks" : "check",
       std::move(module.path),
       Contents(module),
       {},
       {},
       nullptr,
       std::move(done)});
}

absl::StatusOr<std::vector<std::string>> FakeControlService::Cancel(
    const std::string& update) {
  const std::lock_guard<std::mutex> lock(lock_);
  cancelled_.push_back(update);
  added_.notify_all();
  return cancel_result_;
}

StatusReport FakeControlService::Status() {
  const std::lock_guard<std::mutex> lock(lock_);
  caller_ = std::this_thread::get_id();
  StatusReport status = status_;
  // Copies of an absl::Status share its message, and ThreadSanitizer does not
  // see how the system's Abseil, which is built without it, counts them.
  for (AppliedReport& applied : status.applied) {
    applied.can_undo =
        absl::Status(applied.can_undo.code(), applied.can_undo.message());
  }
  return status;
}

ProgramReport FakeControlService::Program() {
  const std::lock_guard<std::mutex> lock(lock_);
  return status_.program;
}

void FakeControlService::Unload(std::string update, std::chrono::nanoseconds,
                                const Requester&, Done<UnloadReport> done) {
  UnloadReport report = SampleUnload();
  if (update == report.update) return done(std::move(report));
  done(absl::NotFoundError("no module of it is loaded"));
}

std::vector<ImageReport> FakeControlService::Images() {
  std::lock_guard<std::mutex> lock(lock_);
  caller_ = std::this_thread::get_id();
  return SampleImages();
}

absl::StatusOr<std::vector<JournalEntry>> FakeControlService::Journal() {
  const std::lock_guard<std::mutex> lock(lock_);
  return journal_;
}

}  // namespace instar

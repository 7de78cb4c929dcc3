// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A ControlService without a program behind it, for tests: it answers what it
// was given, and keeps what it was asked until the test answers.
//
//   FakeControlService service;
//   ... Load("/m.so") from elsewhere ...
//   FakeControlService::Call call = service.Next();  // waits for it
//   call.done_update(SampleUpdate());
//
// Threads: any, as for every service; a Call by one at a time.

#ifndef INSTAR_MANAGER_CONTROL_FAKE_CONTROL_SERVICE_H_
#define INSTAR_MANAGER_CONTROL_FAKE_CONTROL_SERVICE_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "manager/control/control_service.h"

namespace instar {

// Reports with something in every field.
ProgramReport SampleProgram();
StatusReport SampleStatus();
UpdateReport SampleUpdate();
CheckReport SampleCheck();
std::vector<JournalEntry> SampleJournal();
std::vector<ImageReport> SampleImages();
UnloadReport SampleUnload();

class FakeControlService : public ControlService {
 public:
  struct Call {
    std::string command;  // "load", "undo", "check"
    std::string argument;
    std::string sent;  // the contents of a file that came with it
    std::chrono::nanoseconds timeout{};
    Requester by;                    // of load and undo
    Done<UpdateReport> done_update;  // of load and undo
    Done<CheckReport> done_check;
  };

  // The oldest call that was not taken; waits for it.
  Call Next();

  void set_status(StatusReport status);
  void set_journal(absl::StatusOr<std::vector<JournalEntry>> journal);
  // Cancel() returns it; the argument is kept in `cancelled`.
  void set_cancel_result(absl::StatusOr<std::vector<std::string>> result);
  std::vector<std::string> cancelled() const;
  void WaitForCancel();
  // Who was turned away, in order.
  std::vector<Requester> refused() const;
  // The thread that called last.
  std::thread::id caller() const;

  void Load(ModuleSource module, std::chrono::nanoseconds timeout,
            const Requester& by, Done<UpdateReport> done) override;
  void Undo(std::string update, std::chrono::nanoseconds timeout,
            const Requester& by, Done<UpdateReport> done) override;
  void Check(ModuleSource module, bool without_stacks,
             Done<CheckReport> done) override;
  absl::StatusOr<std::vector<std::string>> Cancel(
      const std::string& update) override;
  StatusReport Status() override;
  ProgramReport Program() override;
  std::vector<ImageReport> Images() override;
  // Answered at once.
  void Unload(std::string update, std::chrono::nanoseconds longest_hold,
              const Requester& by, Done<UnloadReport> done) override;
  absl::StatusOr<std::vector<JournalEntry>> Journal() override;
  void Refused(const Requester& who, const absl::Status& why) override;

 private:
  void Add(Call call);

  mutable std::mutex lock_;
  std::condition_variable added_;  // to calls_ or cancelled_
  std::deque<Call> calls_;
  StatusReport status_ = SampleStatus();
  absl::StatusOr<std::vector<JournalEntry>> journal_ = SampleJournal();
  absl::StatusOr<std::vector<std::string>> cancel_result_ =
      std::vector<std::string>{"ratings"};
  std::vector<std::string> cancelled_;
  std::vector<Requester> refused_;
  std::thread::id caller_;
};

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_FAKE_CONTROL_SERVICE_H_

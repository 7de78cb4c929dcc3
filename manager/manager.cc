// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/manager.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/linux/own_thread.h"
#include "base/linux/tasks.h"
#include "base/linux/translator.h"
#include "base/status_macros.h"
#include "manager/control/control_server.h"
#include "manager/control/socket_directory.h"
#include "manager/enabled/apply_enabled.h"
#include "manager/enabled/enabled_folders.h"
#include "manager/internal/image_list.h"
#include "manager/internal/journal.h"
#include "manager/internal/service_limits.h"
#include "manager/internal/system_log.h"
#include "manager/internal/update_driver.h"
#include "manager/module/kept_file.h"
#include "manager/module/module_unloader.h"
#include "manager/module/own_program.h"
#include "manager/program_health.h"
#include "threads/blocking_region.h"

namespace instar {

using manager_internal::FindServiceLimits;
using manager_internal::ServiceLimits;
using manager_internal::UpdateDriver;
using std::chrono::nanoseconds;

namespace {

// Calls what answers by a callback, and waits for the answer.
absl::StatusOr<UpdateReport> Await(
    absl::FunctionRef<void(ControlService::Done<UpdateReport>)> start) {
  // Shared: the callback may still be at it when the answer has been taken.
  struct Answer {
    std::mutex lock;
    std::condition_variable changed;
    std::optional<absl::StatusOr<UpdateReport>> report;
  };
  const auto answer = std::make_shared<Answer>();
  start([answer](absl::StatusOr<UpdateReport> report) {
    std::lock_guard<std::mutex> lock(answer->lock);
    answer->report = std::move(report);
    answer->changed.notify_all();
  });
  std::unique_lock<std::mutex> lock(answer->lock);
  Wait(answer->changed, lock, [&] { return answer->report.has_value(); });
  return *std::move(answer->report);
}

std::string Executable() {
  char path[4096];
  const ssize_t length = readlink(OwnProgramLink(), path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "";
}

// Whether the first thread has ended, and no other one is the program's.
bool HasProgramEnded() {
  char stat[512];
  if (!ReadTaskFile(getpid(), "stat", stat, sizeof(stat))) return false;
  // Its name, in parentheses, may hold any of them.
  const char* const name_end = std::strrchr(stat, ')');
  if (name_end == nullptr || std::strncmp(name_end, ") Z", 3) != 0) {
    return false;
  }
  bool has_ended = true;
  const bool listed = VisitTasks([&](pid_t tid) {
    has_ended = tid == getpid() || IsOwnThread(tid);
    return has_ended;
  });
  return listed && has_ended;
}

class RegisteredThreads {
 public:
  void Add(const ThreadRef& thread) {
    std::lock_guard<std::mutex> lock(lock_);
    // Those that have ended make room.
    threads_.erase(std::remove_if(threads_.begin(), threads_.end(),
                                  [&](const ThreadRef& other) {
                                    return other == thread ||
                                           other.state() == ThreadState::kEnded;
                                  }),
                   threads_.end());
    threads_.push_back(thread);
  }
  std::vector<ThreadRef> All() const {
    std::lock_guard<std::mutex> lock(lock_);
    return threads_;
  }

 private:
  mutable std::mutex lock_;
  std::vector<ThreadRef> threads_;
};

absl::StatusOr<std::string> JournalPath(const std::string& program,
                                        const SocketFolders& folders) {
  INSTAR_ASSIGN_OR_RETURN(const std::string directory,
                          PrepareSocketDirectory(folders));
  return absl::StrCat(directory, "/", program, kJournalSuffix);
}

}  // namespace

class Manager::State final : public ControlService {
 public:
  State(ManagerOptions options, const SocketFolders& folders,
        SystemLog system_log)
      : options_(std::move(options)),
        folders_(folders),
        system_log_(std::move(system_log)),
        journal_(std::make_shared<instar::Journal>(
            JournalPath(options_.name, folders).value_or(""),
            [name = options_.name, folders] {
              return JournalPath(name, folders);
            })),
        driver_(UpdateDriver::Make(
            journal_,
            options_.only_registered_threads
                ? [registered = registered_] { return registered->All(); }
                : std::function<std::vector<ThreadRef>()>(),
            system_log_, options_.name)) {
    driver_->KeepModulesAt([name = options_.name, folders] {
      const absl::StatusOr<std::string> directory =
          PrepareSocketDirectory(folders);
      return directory.ok()
                 ? manager_internal::KeptFilePrefix(*directory, name, getpid())
                 : std::string();
    });
    program_.name = options_.name;
    program_.pid = getpid();
    program_.build_id = OwnBuildId();
    program_.executable = Executable();
    program_.started = std::chrono::system_clock::now();
  }

  ~State() override {
    // Clients hear of what is given up, and nothing more is asked then.
    driver_->Stop();
    server_.reset();
    if (has_started_) journal_->Add("ended");
  }

  absl::Status Serve() {
    // Before it does what a filter may forbid.
    ServiceLimits limits = FindServiceLimits();
    INSTAR_RETURN_IF_ERROR(limits.may_start);
    limits_ = std::move(limits.remarks);
    INSTAR_ASSIGN_OR_RETURN(
        server_, ControlServer::Start(*this, program_.name, {}, folders_));
    INSTAR_RETURN_IF_ERROR(driver_->Start());
    // Not of a program that does not start.
    journal_->Add("started", "", absl::StrCat("build ", program_.build_id));
    has_started_ = true;
    for (const std::string& limit : Limits()) {
      journal_->Add("limited", "", limit);
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Limits() {
    std::vector<std::string> all = limits_;
    const absl::Status patching = driver_->Patching();
    // What passes is told when an update comes.
    if (!patching.ok() && !absl::IsUnavailable(patching)) {
      all.push_back(
          absl::StrCat("no code can be changed: ", patching.message()));
    }
    return all;
  }

  void Register(const ThreadRef& thread) { registered_->Add(thread); }

  const ManagerOptions& options() const { return options_; }
  const SocketFolders& folders() const { return folders_; }
  const SystemLog& system_log() const { return system_log_; }
  UpdateDriver& driver() { return *driver_; }
  std::string socket_path() const { return server_->socket_path(); }
  pid_t pid() const { return program_.pid; }

  void Load(ModuleSource module, nanoseconds timeout, const Requester& by,
            Done<UpdateReport> done) override {
    driver_->Load(std::move(module), timeout, by, std::move(done));
  }
  void Undo(std::string update, nanoseconds timeout, const Requester& by,
            Done<UpdateReport> done) override {
    driver_->Undo(std::move(update), timeout, by, std::move(done));
  }
  void Unload(std::string update, nanoseconds longest_hold, const Requester& by,
              Done<UnloadReport> done) override {
    driver_->Unload(std::move(update), longest_hold, by, std::move(done));
  }
  void Refused(const Requester& who, const absl::Status& why) override {
    system_log_.Write(
        SystemLog::Severity::kWarning,
        absl::StrCat("event=refused", LogField("program", options_.name),
                     " user=", who.user, " client=", who.process,
                     LogField("detail", why.message())));
  }
  void Check(ModuleSource module, bool without_stacks,
             Done<CheckReport> done) override {
    driver_->Check(std::move(module), without_stacks, std::move(done));
  }
  absl::StatusOr<std::vector<std::string>> Cancel(
      const std::string& update) override {
    return driver_->Cancel(update);
  }

  void ApplyEnabled() {
    manager_internal::ApplyEnabledOptions options;
    options.folders = EnabledFolders::FromEnvironment();
    options.folders.marks = PrepareSocketDirectory(folders_).value_or("");
    options.programs = {OwnProgramName()};
    if (program_.name != OwnProgramName()) {
      options.programs.push_back(program_.name);
    }
    options.build_id = program_.build_id;
    options.is_privileged = IsPrivilegedStart();
    std::vector<std::string> remarks = manager_internal::ApplyEnabled(
        options, *journal_, [this](const std::string& path, nanoseconds limit) {
          return Await([&](Done<UpdateReport> done) {
                   Load(path, limit, Requester(), std::move(done));
                 })
              .status();
        });
    std::lock_guard<std::mutex> lock(lock_);
    not_applied_ = std::move(remarks);
  }

  // In a child of fork(): what the parent's start has left out is so here, too.
  void TakeNotApplied(State& copy_of_parents) {
    // Its owner may have been a thread that the child does not have.
    if (!copy_of_parents.lock_.try_lock()) return;
    not_applied_ = copy_of_parents.not_applied_;
    copy_of_parents.lock_.unlock();
  }

  StatusReport Status() override {
    StatusReport report;
    report.program = Program();
    if (const absl::Status written = journal_->status(); !written.ok()) {
      report.remarks.push_back(
          absl::StrCat("the journal is incomplete: ", written.message()));
    }
    std::vector<ThreadRef> held = registered_->All();
    for (ThreadRef& thread : driver_->StartedThreads()) {
      held.push_back(std::move(thread));
    }
    for (const ThreadRef& thread : ControlledThreads()) {
      ThreadReport& entry = report.threads.emplace_back();
      entry.name = thread.name();
      entry.tid = thread.tid();
      entry.kind = thread.kind();
      entry.state = thread.state();
      entry.is_registered =
          !options_.only_registered_threads ||
          std::find(held.begin(), held.end(), thread) != held.end();
    }
    report.applied = driver_->Applied();
    report.pending = driver_->Pending();
    report.classes = CountAllObjects();
    report.kept = ListKeptModules();
    report.remarks.insert(report.remarks.end(), limits_.begin(), limits_.end());
    for (std::string& remark : driver_->Remarks()) {
      report.remarks.push_back(std::move(remark));
    }
    std::lock_guard<std::mutex> lock(lock_);
    report.remarks.insert(report.remarks.end(), not_applied_.begin(),
                          not_applied_.end());
    return report;
  }
  ProgramReport Program() override {
    ProgramReport program = program_;
    const ProgramHealth health = CountedHealth();
    program.requests = health.requests;
    program.errors = health.errors;
    return program;
  }
  void EverySecond() override {
    if (options_.when_program_has_ended == nullptr || has_program_ended_ ||
        !HasProgramEnded()) {
      return;
    }
    has_program_ended_ = true;
    // This thread may be waited for there.
    std::thread(options_.when_program_has_ended).detach();
  }
  std::vector<ImageReport> Images() override {
    return manager_internal::ListImages();
  }
  absl::StatusOr<std::vector<JournalEntry>> Journal() override {
    return journal_->Read();
  }

 private:
  const ManagerOptions options_;
  const SocketFolders folders_;
  const SystemLog system_log_;
  ProgramReport program_;
  // The driver may outlive the manager, with what it needs of it.
  const std::shared_ptr<RegisteredThreads> registered_ =
      std::make_shared<RegisteredThreads>();
  const std::shared_ptr<instar::Journal> journal_;
  std::mutex lock_;
  std::vector<std::string> not_applied_;  // of what is enabled; under the lock
  std::vector<std::string> limits_;       // of the system, as of the start
  bool has_started_ = false;
  bool has_program_ended_ = false;  // of the server's thread
  const std::shared_ptr<UpdateDriver> driver_;
  std::optional<ControlServer> server_;
};

absl::StatusOr<Manager> Manager::Start(ManagerOptions options) {
  if (options.name.empty()) options.name = OwnProgramName();
  if (options.keeps_root) KeepRootOfOwnThreads();
  const SocketFolders folders = SocketFolders::FromEnvironment();
  INSTAR_ASSIGN_OR_RETURN(const std::string directory,
                          PrepareSocketDirectory(folders));
  manager_internal::RemoveLeftFiles(directory);
  auto state = std::make_unique<State>(std::move(options), folders,
                                       SystemLog::FromEnvironment());
  INSTAR_RETURN_IF_ERROR(state->Serve());
  return Manager(std::move(state));
}

absl::StatusOr<Manager> Manager::StartInChild(Manager& of_parent) {
  State& copy = *of_parent.state_;
  INSTAR_CHECK(copy.pid() != getpid())
      << "StartInChild() is for a child of fork()";
  auto state = std::make_unique<State>(copy.options(), copy.folders(),
                                       copy.system_log());
  state->driver().Adopt(copy.driver());
  state->TakeNotApplied(copy);
  INSTAR_RETURN_IF_ERROR(state->Serve());
  return Manager(std::move(state));
}

Manager::Manager(std::unique_ptr<State> state) : state_(std::move(state)) {}
Manager::Manager(Manager&&) noexcept = default;

Manager& Manager::operator=(Manager&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Manager::~Manager() {
  // A child of fork() has a copy of the state, and none of its threads.
  if (state_ != nullptr && state_->pid() != getpid()) state_.release();
}

absl::Status Manager::MayGoOnUnder(const sock_fprog& filter) {
  return FindServiceLimits(&filter).may_start;
}

void Manager::ApplyEnabled() { state_->ApplyEnabled(); }

void Manager::Register(std::initializer_list<const ControlledThread*> threads) {
  for (const ControlledThread* thread : threads) Register(thread->ref());
}

void Manager::Register(const ThreadRef& thread) { state_->Register(thread); }

absl::StatusOr<UpdateReport> Manager::Apply(std::unique_ptr<Update> update,
                                            nanoseconds timeout) {
  return Await([&](ControlService::Done<UpdateReport> done) {
    state_->driver().Apply(std::move(update), timeout, std::move(done));
  });
}

absl::StatusOr<UpdateReport> Manager::Load(const std::string& path,
                                           nanoseconds timeout) {
  return Await([&](ControlService::Done<UpdateReport> done) {
    state_->Load(path, timeout, Requester(), std::move(done));
  });
}

absl::StatusOr<UpdateReport> Manager::Undo(nanoseconds timeout) {
  return Await([&](ControlService::Done<UpdateReport> done) {
    state_->Undo("", timeout, Requester(), std::move(done));
  });
}

StatusReport Manager::Status() const { return state_->Status(); }

std::vector<std::string> Manager::Limits() const { return state_->Limits(); }

absl::StatusOr<std::vector<JournalEntry>> Manager::Journal() const {
  return state_->Journal();
}

std::string Manager::socket_path() const { return state_->socket_path(); }

}  // namespace instar

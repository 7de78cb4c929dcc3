// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/processes.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "manager/control/control_service.h"
#include "manager/control/process_file.h"
#include "manager/control/protocol.h"
#include "manager/control/report_json.h"
#include "manager/control/sleeping_processes.h"
#include "manager/module/module_file.h"
#include "tools/instarctl/console.h"

namespace instar {
namespace instarctl {
namespace {

// For each process.
constexpr std::chrono::seconds kWakeLimit(10);
constexpr std::chrono::seconds kAskLimit(5);
// A program that forks faster than it can be followed.
constexpr int kRounds = 20;

void Say(const RunningProgram& process, const std::string& what) {
  std::printf("%s (%d): %s\n", process.name.c_str(),
              static_cast<int>(process.pid), what.c_str());
  std::fflush(stdout);  // the next process may take a while
}

absl::Status Of(const RunningProgram& process, const absl::Status& error) {
  return absl::Status(error.code(), absl::StrCat("process ", process.pid, ": ",
                                                 error.message()));
}

bool HasUpdate(const StatusReport& status, const std::string& update) {
  return std::any_of(
      status.applied.begin(), status.applied.end(),
      [&](const AppliedReport& applied) { return applied.update == update; });
}

bool IsLibrary(const ImageReport& image, absl::string_view library) {
  if (image.path.empty()) return false;  // the program
  const absl::string_view path = image.path;
  return library == image.soname || library == path ||
         library == path.substr(path.rfind('/') + 1);
}

constexpr std::size_t kShownOfBuild = 12;  // digits

absl::Status Interrupted() {
  return absl::CancelledError("interrupted; nothing was changed");
}

std::string List(const std::vector<RunningProgram>& processes) {
  return absl::StrJoin(
      processes, ", ", [](std::string* out, const RunningProgram& process) {
        absl::StrAppend(out, process.name, " (", process.pid, ")");
      });
}

// As ControlClient::Load(), and cancels it if a signal comes.
absl::StatusOr<UpdateReport> LoadUnlessInterrupted(
    ControlClient& client, const std::string& path, const std::string& update,
    std::chrono::nanoseconds timeout) {
  Request request;
  request.command = Command::kLoad;
  request.path = path;
  request.timeout = timeout;
  INSTAR_ASSIGN_OR_RETURN(const std::int64_t id, client.Send(request));
  while (true) {
    // The second one leaves it to itself.
    const int asked = Interruptions();
    INSTAR_ASSIGN_OR_RETURN(
        const std::optional<Reply> reply,
        client.Receive(id, std::chrono::milliseconds(asked > 0 ? 100 : 1000)));
    if (reply.has_value()) return reply->As<UpdateReport>();
    if (Interruptions() > 1) {
      return absl::CancelledError(
          "left: it goes on there without us (instarctl log)");
    }
    // Not found: it has not begun, or takes effect just now.
    if (Interruptions() > 0) client.Cancel(update).IgnoreError();
  }
}

}  // namespace

absl::StatusOr<Processes> Processes::FindUsing(
    const std::string& library, std::vector<std::string> build_ids) {
  Processes processes("");
  processes.library_ = library;
  processes.build_ids_ = std::move(build_ids);
  INSTAR_RETURN_IF_ERROR(processes.FindMore().status());
  if (processes.all_.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "no program that can be updated and runs as this user has loaded ",
        library, processes.build_ids_.empty() ? "" : " in that build"));
  }
  return processes;
}

bool Processes::Uses(const RunningProgram& process) const {
  absl::StatusOr<ControlClient> client = ControlClient::Connect(process.socket);
  if (absl::IsNotFound(client.status())) return false;  // it has ended
  if (client.ok()) client->set_patience(kAskLimit);
  const absl::StatusOr<ImagesReport> report =
      client.ok() ? client->Images() : client.status();
  if (!report.ok()) {
    if (manager_internal::IsRunning(process.pid)) {
      Say(process, absl::StrCat("passed over: it does not say what it has "
                                "loaded: ",
                                report.status().message()));
    }
    return false;
  }
  std::string other;
  for (const ImageReport& image : report->images) {
    if (!IsLibrary(image, library_)) continue;
    if (build_ids_.empty() || std::find(build_ids_.begin(), build_ids_.end(),
                                        image.build_id) != build_ids_.end()) {
      return true;
    }
    other = image.build_id.empty() ? std::string("one without a build id")
                                   : image.build_id.substr(0, kShownOfBuild);
  }
  if (!other.empty()) {
    Say(process, absl::StrCat("passed over: it has ", library_,
                              " in another build, ", other));
  }
  return false;
}

absl::StatusOr<Processes> Processes::Find(const std::string& name) {
  Processes processes(name);
  if (name.empty()) {
    INSTAR_ASSIGN_OR_RETURN(const std::vector<RunningProgram> programs,
                            FindPrograms());
    std::set<std::string> names;
    for (const RunningProgram& program : programs) names.insert(program.name);
    for (const SleepingProcess& process : FindSleepingProcesses()) {
      names.insert(process.name);
    }
    if (names.size() > 1) {
      return absl::NotFoundError(absl::StrCat(
          "several programs are running: ", absl::StrJoin(names, ", "),
          "; choose one by --program NAME"));
    }
    if (!names.empty()) processes.name_ = *names.begin();
  }
  INSTAR_RETURN_IF_ERROR(processes.FindMore().status());
  if (processes.all_.empty()) {
    return absl::NotFoundError(
        processes.name_.empty()
            ? std::string("no program that can be updated is running as this "
                          "user")
            : absl::StrCat("no program \"", processes.name_,
                           "\" that can be updated is running as this user"));
  }
  return processes;
}

absl::StatusOr<std::size_t> Processes::FindMore() {
  const std::size_t before = all_.size();
  const auto is_new = [&](const std::string& name, pid_t pid) {
    return (!library_.empty() || name == name_) &&
           passed_over_.count(pid) == 0 &&
           std::none_of(
               all_.begin(), all_.end(),
               [pid](const RunningProgram& known) { return known.pid == pid; });
  };
  const auto add = [&](RunningProgram program) {
    if (library_.empty() || Uses(program)) {
      all_.push_back(std::move(program));
    } else {
      passed_over_.insert(program.pid);
    }
  };
  INSTAR_ASSIGN_OR_RETURN(const std::vector<RunningProgram> programs,
                          FindPrograms());
  for (const RunningProgram& program : programs) {
    if (is_new(program.name, program.pid)) add(program);
  }
  for (const SleepingProcess& process : FindSleepingProcesses()) {
    if (!is_new(process.name, process.pid)) continue;
    absl::StatusOr<RunningProgram> woken = Wake(process, kWakeLimit);
    if (absl::IsNotFound(woken.status())) continue;  // it has ended
    if (!woken.ok()) return woken.status();
    woken->name = process.name;
    add(*std::move(woken));
  }
  return all_.size() - before;
}

absl::Status Processes::ForEach(
    absl::Span<const RunningProgram> processes,
    absl::FunctionRef<absl::Status(const RunningProgram&, ControlClient&)>
        act) {
  for (const RunningProgram& process : processes) {
    if (Interruptions() > 0) return Interrupted();
    absl::StatusOr<ControlClient> client =
        ControlClient::Connect(process.socket);
    if (absl::IsNotFound(client.status())) {
      Say(process, "has ended");
      continue;
    }
    if (!client.ok()) return Of(process, client.status());
    const absl::Status done = act(process, *client);
    if (!done.ok() && !client->connection().ok()) {
      Say(process, "has ended");
      continue;
    }
    if (!done.ok()) return Of(process, done);
  }
  return absl::OkStatus();
}

absl::Status Processes::Check(const std::string& path, bool without_stacks) {
  return ForEach(
      all_, [&](const RunningProgram& process, ControlClient& client) {
        const absl::StatusOr<CheckReport> check =
            client.Check(path, without_stacks);
        if (!check.ok()) return check.status();
        Say(process, check->blockers.empty()
                         ? absl::StrCat(check->update, " can be applied")
                         : absl::StrCat(check->update, " would wait: ",
                                        check->blockers.front().reason));
        return absl::OkStatus();
      });
}

absl::StatusOr<std::vector<RunningProgram>> Processes::FindLacking(
    const std::string& path, const std::string& update, std::size_t first) {
  std::vector<RunningProgram> lacking;
  INSTAR_RETURN_IF_ERROR(
      ForEach(absl::MakeConstSpan(all_).subspan(first),
              [&](const RunningProgram& process, ControlClient& client) {
                const absl::StatusOr<StatusReport> status = client.Status();
                if (!status.ok()) return status.status();
                // As one has that was forked by a process which had it.
                if (HasUpdate(*status, update)) {
                  Say(process, absl::StrCat(update, " is applied already"));
                  return absl::OkStatus();
                }
                lacking.push_back(process);
                return client.Check(path, /*without_stacks=*/true).status();
              }));
  return lacking;
}

absl::Status Processes::LoadInto(absl::Span<const RunningProgram> processes,
                                 const std::string& path,
                                 const std::string& update,
                                 std::chrono::nanoseconds timeout,
                                 std::vector<RunningProgram>* applied) {
  return ForEach(processes,
                 [&](const RunningProgram& process, ControlClient& client) {
                   const absl::StatusOr<UpdateReport> report =
                       LoadUnlessInterrupted(client, path, update, timeout);
                   if (!report.ok()) return report.status();
                   applied->push_back(process);
                   Say(process, absl::StrCat(report->update, " is applied"));
                   return absl::OkStatus();
                 });
}

bool Processes::TakeBack(std::vector<RunningProgram> applied,
                         const std::string& update,
                         std::chrono::nanoseconds timeout) {
  bool is_gone = true;
  std::set<pid_t> ours;
  for (int round = 0; round < kRounds && !applied.empty(); ++round) {
    for (const RunningProgram& process : applied) {
      ours.insert(process.pid);
      absl::StatusOr<ControlClient> client =
          ControlClient::Connect(process.socket);
      const absl::Status undone = client.ok()
                                      ? client->Undo(update, timeout).status()
                                      : client.status();
      const bool has_ended =
          !undone.ok() && !manager_internal::IsRunning(process.pid);
      Say(process, undone.ok() ? absl::StrCat(update, " is taken back")
                   : has_ended ? "has ended"
                               : absl::StrCat(update, " cannot be taken back: ",
                                              undone.message()));
      is_gone = is_gone && (undone.ok() || has_ended);
    }
    // Their children have what they had when they were forked.
    const std::size_t known = all_.size();
    applied.clear();
    if (!FindMore().ok()) return false;
    for (std::size_t i = known; i < all_.size(); ++i) {
      const auto stat = manager_internal::ReadProcessStat(all_[i].pid);
      if (!stat.has_value() || ours.count(stat->parent) == 0) continue;
      absl::StatusOr<ControlClient> client =
          ControlClient::Connect(all_[i].socket);
      const absl::StatusOr<StatusReport> status =
          client.ok() ? client->Status() : client.status();
      if (status.ok() && HasUpdate(*status, update)) applied.push_back(all_[i]);
    }
  }
  return is_gone && applied.empty();
}

absl::Status Processes::LoadIntoAll(const std::string& path,
                                    const std::string& update,
                                    std::chrono::nanoseconds timeout,
                                    std::vector<RunningProgram>* applied) {
  std::size_t first = 0;
  for (int round = 0; first < all_.size(); ++round) {
    INSTAR_ASSIGN_OR_RETURN(const std::vector<RunningProgram> lacking,
                            FindLacking(path, update, first));
    INSTAR_RETURN_IF_ERROR(LoadInto(lacking, path, update, timeout, applied));
    first = all_.size();
    INSTAR_RETURN_IF_ERROR(FindMore().status());
    if (round == kRounds && first < all_.size()) {
      return absl::AbortedError(
          "new processes are forked faster than they can be updated");
    }
  }
  return absl::OkStatus();
}

Processes::Outcome Processes::Load(const std::string& path,
                                   std::chrono::nanoseconds timeout) {
  const absl::StatusOr<std::vector<ModuleFile>> modules = ReadAllModules(path);
  if (!modules.ok()) return {modules.status()};
  const std::string& update = modules->front().update_name();
  std::vector<RunningProgram> applied;
  CountInterruptions();
  absl::Status done = LoadIntoAll(path, update, timeout, &applied);
  if (done.ok() || applied.empty()) return {std::move(done)};
  if (Interruptions() > 1) {
    return {absl::CancelledError(
                absl::StrCat("left: ", update, " stays applied in ",
                             List(applied), "; ", done.message())),
            /*is_left=*/true};
  }
  const bool is_gone = TakeBack(std::move(applied), update, timeout);
  if (Interruptions() > 0 && is_gone) {
    done = absl::CancelledError(
        absl::StrCat("interrupted; ", update, " was taken back"));
  }
  return {std::move(done), !is_gone};
}

absl::Status Processes::Undo(std::string update,
                             std::chrono::nanoseconds timeout) {
  CountInterruptions();
  std::size_t first = 0;
  for (int round = 0; round <= kRounds && first < all_.size(); ++round) {
    absl::Status done = ForEach(
        absl::MakeConstSpan(all_).subspan(first),
        [&](const RunningProgram& process, ControlClient& client) {
          const absl::StatusOr<StatusReport> status = client.Status();
          if (!status.ok()) return status.status();
          if (update.empty() && !status->applied.empty()) {
            update = status->applied.back().update;
          }
          if (!HasUpdate(*status, update)) {
            Say(process,
                absl::StrCat(update.empty() ? std::string("no update") : update,
                             " is not applied"));
            return absl::OkStatus();
          }
          const absl::StatusOr<UpdateReport> report =
              client.Undo(update, timeout);
          if (!report.ok()) return report.status();
          Say(process, absl::StrCat(report->update, " is taken back"));
          return absl::OkStatus();
        });
    if (Interruptions() > 0 && !done.ok()) {
      done = absl::CancelledError(
          "interrupted: it is taken back in the processes above, and is as it "
          "was in the others; `instarctl undo` again goes on");
    }
    INSTAR_RETURN_IF_ERROR(done);
    first = all_.size();
    INSTAR_RETURN_IF_ERROR(FindMore().status());
  }
  if (update.empty()) {
    return absl::FailedPreconditionError("no update is applied");
  }
  return absl::OkStatus();
}

absl::Status Processes::Status() {
  return ForEach(all_, [&](const RunningProgram& process,
                           ControlClient& client) {
    const absl::StatusOr<StatusReport> status = client.Status();
    if (!status.ok()) return status.status();
    std::vector<std::string> updates;
    for (const AppliedReport& applied : status->applied) {
      updates.push_back(applied.update);
    }
    Say(process,
        absl::StrCat("updates: ",
                     updates.empty() ? "none" : absl::StrJoin(updates, ", ")));
    for (const std::string& remark : status->remarks) {
      std::printf("  %s\n", remark.c_str());
    }
    return absl::OkStatus();
  });
}

}  // namespace instarctl
}  // namespace instar

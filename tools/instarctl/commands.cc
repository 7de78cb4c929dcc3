// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/commands.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"
#include "manager/control/process_file.h"
#include "manager/control/process_socket.h"
#include "manager/control/report_json.h"
#include "manager/control/sleeping_processes.h"
#include "manager/control/socket_directory.h"
#include "manager/module/module_file.h"
#include "tools/instarctl/choice.h"
#include "tools/instarctl/console.h"
#include "tools/instarctl/display.h"
#include "tools/instarctl/enabled.h"
#include "tools/instarctl/journal.h"
#include "tools/instarctl/processes.h"
#include "tools/instarctl/update_command.h"
#include "tools/instarctl/watched_load.h"
#include "tools/watch/watch.h"

namespace instar {
namespace instarctl {
namespace {

using std::chrono::nanoseconds;

BuiltFor BuiltForOf(const std::string& path) {
  const absl::StatusOr<std::vector<ModuleFile>> modules = ReadAllModules(path);
  // The program looks at the file itself, and says what is wrong with it.
  if (!modules.ok()) return {};
  BuiltFor built_for = {modules->front().program_name(), {}};
  for (const ModuleFile& module : *modules) {
    built_for.build_ids.push_back(module.program_build_id());
  }
  return built_for;
}

absl::StatusOr<ControlClient> ConnectToAsk(const RunningProgram& program) {
  absl::StatusOr<ControlClient> client = ControlClient::Connect(program.socket);
  if (client.ok()) client->set_patience(std::chrono::seconds(2));
  return client;
}

absl::StatusOr<ProgramReport> AskWhoItIs(const RunningProgram& program) {
  absl::StatusOr<ControlClient> client = ConnectToAsk(program);
  return client.ok() ? client->Program() : client.status();
}

absl::StatusOr<StatusReport> AskForStatus(const RunningProgram& program) {
  absl::StatusOr<ControlClient> client = ConnectToAsk(program);
  return client.ok() ? client->Status() : client.status();
}

absl::StatusOr<RunningProgram> FindOrWake(pid_t pid) {
  absl::StatusOr<RunningProgram> program = FindProgramOf(pid);
  if (!absl::IsNotFound(program.status())) return program;
  const std::optional<SleepingProcess> process = FindSleepingProcess(pid);
  if (!process.has_value()) return program;
  INSTAR_RETURN_IF_ERROR(Wake(*process, std::chrono::seconds(10)).status());
  return FindProgramOf(pid);
}

// How long a program is waited for that has closed all of its descriptors: it
// listens anew within a second.
constexpr std::chrono::seconds kListensAgain(3);

absl::StatusOr<RunningProgram> Choose(const Options& options,
                                      const std::string& module_path) {
  if (options.pid != 0) return FindOrWake(options.pid);
  std::vector<std::string> hints;
  const absl::StatusOr<std::vector<RunningProgram>> programs =
      FindPrograms(&hints);
  if (!programs.ok()) return programs.status();
  const absl::StatusOr<std::optional<RunningProgram>> woken =
      WakeChosen(*programs, options.program);
  if (!woken.ok()) return woken.status();
  if (woken->has_value()) return **woken;
  absl::StatusOr<RunningProgram> program = ChooseProgram(
      *programs, options.program,
      programs->size() > 1 && !module_path.empty() ? BuiltForOf(module_path)
                                                   : BuiltFor{},
      AskWhoItIs);
  if (!program.ok()) {
    hints.insert(hints.begin(), std::string(program.status().message()));
    return absl::Status(program.status().code(), absl::StrJoin(hints, "\n  "));
  }
  return program;
}

absl::StatusOr<ControlClient> ConnectToChosen(const Options& options,
                                              const std::string& module_path) {
  const absl::StatusOr<RunningProgram> program = Choose(options, module_path);
  if (!program.ok()) return program.status();
  return ControlClient::ConnectPatiently(*program, kListensAgain);
}

bool IsForMany(const Options& options) {
  return options.all || !options.library.empty();
}

// Those that use a shared object, or all of a program. `act` answers the exit
// code.
int ForAll(const Options& options, const std::string& module_path,
           absl::FunctionRef<int(Processes&)> act) {
  const char* const option = options.all ? "--all" : "--using";
  if (options.json || options.watch || options.pid != 0) {
    return Fail(kUsage, absl::StrCat(option,
                                     " goes with none of --json, "
                                     "--watch and --pid"));
  }
  if (!options.library.empty()) {
    if (options.all || !options.program.empty()) {
      return Fail(kUsage, "--using goes neither with --all nor with --program");
    }
    absl::StatusOr<Processes> processes = Processes::FindUsing(
        options.library, module_path.empty()
                             ? std::vector<std::string>()
                             : BuiltForOf(module_path).build_ids);
    if (!processes.ok()) {
      return Fail(kUnreachable, processes.status().message());
    }
    return act(*processes);
  }
  std::string name = options.program;
  if (name.empty() && !module_path.empty()) {
    name = BuiltForOf(module_path).program;
  }
  absl::StatusOr<Processes> processes = Processes::Find(name);
  if (!processes.ok()) {
    return Fail(kUnreachable, processes.status().message());
  }
  return act(*processes);
}

int DoneOrFail(const Processes::Outcome& outcome) {
  if (outcome.is_left) return Fail(kStillApplied, outcome.status.message());
  return outcome.status.ok() ? kDone : Fail(outcome.status);
}

int DoneOrFail(const absl::Status& done) {
  return done.ok() ? kDone : Fail(done);
}

absl::StatusOr<WatchOptions> WatchOptionsOf(const Options& options) {
  WatchOptions watch;
  watch.health = options.health;
  if (!options.window.empty()) {
    INSTAR_ASSIGN_OR_RETURN(watch.window, ParseWindow(options.window));
  }
  if (!options.max_errors.empty()) {
    INSTAR_ASSIGN_OR_RETURN(watch.errors, ParseErrorLimit(options.max_errors));
  }
  return watch;
}

int PrintLog(const Options& options, const JournalReport& journal) {
  if (options.json) {
    std::printf("%s\n", ToJson(journal, 2).c_str());
  } else {
    Print(LogLines(journal, OutputStyle()));
  }
  return kDone;
}

// Of a program that has ended, or of several of one name, whose journal is one.
int LogOfFile(const Options& options, bool is_running) {
  absl::StatusOr<LeftJournal> left = FindLeftJournal(options.program);
  if (!left.ok()) return Fail(kUnreachable, left.status().message());
  if (!is_running) {
    std::fprintf(stderr, "%s is not running; its journal says:\n",
                 left->program.c_str());
  }
  JournalReport report;
  const std::size_t shown = std::min(left->entries.size(), options.entries);
  report.omitted = left->entries.size() - shown;
  report.entries.assign(left->entries.end() - shown, left->entries.end());
  return PrintLog(options, report);
}

}  // namespace

// What has ended meanwhile is left out.
int Ps(const Options& options) {
  std::vector<std::string> hints;
  const absl::StatusOr<std::vector<RunningProgram>> programs =
      FindPrograms(&hints);
  if (!programs.ok()) return Fail(kUnreachable, programs.status().message());
  const auto is_asked_for = [&](const std::string& name, pid_t pid) {
    return options.program.empty() || IsNamed(options.program, name, pid);
  };
  std::vector<ListedProgram> listed;
  for (const RunningProgram& program : *programs) {
    if (!is_asked_for(program.name, program.pid)) continue;
    absl::StatusOr<StatusReport> status = AskForStatus(program);
    if (!status.ok() && !manager_internal::IsRunning(program.pid)) continue;
    listed.push_back({program, std::move(status)});
  }
  for (const SleepingProcess& process : FindSleepingProcesses()) {
    if (!is_asked_for(process.name, process.pid)) continue;
    listed.push_back(
        {{process.name, process.pid, ""},
         absl::UnavailableError("forked by one that can be updated; starts a "
                                "manager when a command is for it"),
         /*has_manager=*/false});
  }
  ArrangeAsTree(
      [](pid_t pid) {
        const auto stat = manager_internal::ReadProcessStat(pid);
        return stat.has_value() ? stat->parent : 0;
      },
      listed);
  if (listed.empty() && !options.program.empty()) {
    hints.insert(hints.begin(),
                 absl::StrCat("no program \"", options.program,
                              "\" that can be updated is running as this "
                              "user"));
    return Fail(kUnreachable, absl::StrJoin(hints, "\n  "));
  }
  if (options.json) {
    std::printf("%s\n", ProgramsToJson(listed, hints).c_str());
    return kDone;
  }
  if (listed.empty()) {
    std::printf("no program that can be updated is running as this user\n");
  } else {
    Print(
        ProgramLines(listed, std::chrono::system_clock::now(), OutputStyle()));
  }
  Print(hints);
  return kDone;
}

int Check(const Options& options) {
  const std::string path = AbsolutePath(options.module);
  if (IsForMany(options)) {
    return ForAll(options, path, [&](Processes& processes) {
      return DoneOrFail(processes.Check(path, options.without_stacks));
    });
  }
  absl::StatusOr<ControlClient> client = ConnectToChosen(options, path);
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const absl::StatusOr<CheckReport> check =
      client->Check(path, options.without_stacks);
  if (!check.ok()) return Fail(*client, check.status());
  Print(CheckLines(*check, OutputStyle()));
  return kDone;
}

int LoadOrUndo(const Options& options, Command command) {
  Request request;
  request.command = command;
  request.timeout = std::chrono::duration_cast<nanoseconds>(
      std::chrono::duration<double>(options.timeout_s));
  request.update = options.update;
  if (command == Command::kLoad) request.path = AbsolutePath(options.module);
  const absl::StatusOr<WatchOptions> watch = WatchOptionsOf(options);
  if (!watch.ok()) return Fail(kUsage, watch.status().message());
  const bool is_watched = watch->window.count() > 0;
  if (is_watched && options.json) {
    return Fail(kUsage, "--watch does not go with --json");
  }
  if (IsForMany(options)) {
    return ForAll(options, request.path, [&](Processes& processes) {
      if (is_watched) return LoadAllUnderWatch(processes, request, *watch);
      return command == Command::kLoad
                 ? DoneOrFail(processes.Load(request.path, request.timeout))
                 : DoneOrFail(processes.Undo(request.update, request.timeout));
    });
  }
  const absl::StatusOr<RunningProgram> program = Choose(options, request.path);
  if (!program.ok()) return Fail(kUnreachable, program.status().message());
  if (is_watched) return LoadUnderWatch(*program, request, *watch);
  absl::StatusOr<ControlClient> client =
      ControlClient::ConnectPatiently(*program, kListensAgain);
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const UpdateOutcome outcome = RunUpdate(*client, request, options.json);
  return outcome.error.ok() ? outcome.code
                            : Fail(outcome.code, outcome.error.message());
}

int Status(const Options& options) {
  if (options.all) {
    return ForAll(options, "", [](Processes& processes) {
      return DoneOrFail(processes.Status());
    });
  }
  absl::StatusOr<ControlClient> client = ConnectToChosen(options, "");
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const Style style = OutputStyle();
  LiveDisplay display(stdout, SizeFor(style));
  if (options.watch) CountInterruptions();
  while (true) {
    const absl::StatusOr<StatusReport> status = client->Status();
    if (!status.ok()) return Fail(*client, status.status());
    const Lines lines =
        options.json
            ? Lines{ToJson(*status, options.watch ? -1 : 2)}
            : StatusLines(*status, std::chrono::system_clock::now(), style);
    if (!options.watch) return Print(lines), kDone;
    display.Show(lines);
    // Nothing is sent under this number: only the time and signals end it.
    const auto nothing = client->Receive(0, std::chrono::seconds(1));
    if (!nothing.ok()) return Fail(kUnreachable, nothing.status().message());
    if (Interruptions() > 0) return kDone;
  }
}

int Unload(const Options& options) {
  absl::StatusOr<ControlClient> client = ConnectToChosen(options, "");
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const absl::StatusOr<UnloadReport> report = client->Unload(
      options.update, std::chrono::duration_cast<nanoseconds>(
                          std::chrono::duration<double>(options.hold_s)));
  if (!report.ok()) return Fail(*client, report.status());
  if (options.json) {
    std::printf("%s\n", ToJson(*report, 2).c_str());
  } else {
    Print(UnloadLines(*report));
  }
  return report->kept.empty() ? kDone : kRefused;
}

int Cancel(const Options& options) {
  absl::StatusOr<ControlClient> client = ConnectToChosen(options, "");
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const absl::StatusOr<CancelReport> report = client->Cancel(options.update);
  if (!report.ok()) return Fail(*client, report.status());
  for (const std::string& update : report->updates) {
    std::printf("%s is cancelled\n", update.c_str());
  }
  return kDone;
}

int Log(const Options& options) {
  const absl::StatusOr<std::vector<RunningProgram>> programs = FindPrograms();
  if (!programs.ok()) return Fail(kUnreachable, programs.status().message());
  const std::size_t running =
      options.program.empty()
          ? programs->size()
          : std::count_if(programs->begin(), programs->end(),
                          [&](const RunningProgram& program) {
                            return IsNamed(options.program, program.name,
                                           program.pid);
                          });
  if (options.pid == 0 &&
      (running == 0 || (running > 1 && !options.program.empty()))) {
    return LogOfFile(options, running > 0);
  }
  absl::StatusOr<ControlClient> client = ConnectToChosen(options, "");
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const absl::StatusOr<JournalReport> journal = client->Log(options.entries);
  if (!journal.ok()) return Fail(*client, journal.status());
  return PrintLog(options, *journal);
}

int PrintOrFail(const absl::StatusOr<Lines>& lines) {
  if (!lines.ok()) return Fail(kRefused, lines.status().message());
  Print(*lines);
  return kDone;
}

int Bundle(const Options& options) {
  std::vector<std::string> modules;
  for (const std::string& module : options.modules) {
    modules.push_back(AbsolutePath(module));
  }
  return PrintOrFail(MakeBundle(AbsolutePath(options.output), modules));
}

}  // namespace instarctl
}  // namespace instar

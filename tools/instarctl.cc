// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The command line of programs that can be updated: see kDescription, or
// `instarctl --help`.

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"
#include "manager/control/process_socket.h"
#include "manager/control/protocol.h"
#include "manager/control/report_json.h"
#include "manager/control/sleeping_processes.h"
#include "manager/control/socket_directory.h"
#include "manager/module/module_file.h"
#include "tools/instarctl_all.h"
#include "tools/instarctl_choice.h"
#include "tools/instarctl_display.h"
#include "tools/instarctl_enabled.h"
#include "tools/instarctl_journal.h"
#include "tools/instarctl_output.h"

namespace instar {
namespace instarctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

enum ExitCode {
  kDone = 0,
  kRefused = 1,
  kUsage = 2,
  kUnreachable = 3,
  kTimedOut = 4,
  kCancelled = 5,
};

constexpr char kDescription[] =
    "Updates programs that run, and shows how they are.";

constexpr char kFooter[] = R"(Examples:
  instarctl ps                            what runs, and the updates it has
  instarctl check add_ratings.so          what the update would do; changes nothing
  instarctl load add_ratings.so           applies it, and shows what it waits for
  instarctl load add_ratings.so --timeout 5 || echo "not now"
  instarctl -p site_manager status --watch
  instarctl undo                          takes back the latest update
  instarctl -p nginx load fix.so --all    in all of its processes, or in none
  instarctl enable fix.so                 at each start of the program as well

The program: the only one that runs; of several that for which the module was
built, or the one that --program names. --pid reaches it in a service with a
/tmp of its own, in a container, or after chroot(2).

Exit codes:
  0  done
  1  refused, or failed; the program is as it was
  2  wrong usage
  3  no such program, it cannot be reached, or it ended meanwhile
  4  no safe moment came within the time limit; the program is as it was
  5  cancelled; the program is as it was

Ctrl-C during load and undo cancels the update; a second one leaves it to itself.
)";

struct Options {
  std::string program;
  int pid = 0;
  std::string module;
  std::string update;
  std::string output;
  std::vector<std::string> modules;
  double timeout_s = 30;
  bool json = false;
  bool watch = false;
  bool without_stacks = false;
  bool all = false;
  std::size_t entries = kDefaultLogEntries;
};

int Fail(ExitCode code, absl::string_view message) {
  const Style style{
      false, isatty(STDERR_FILENO) != 0 && getenv("NO_COLOR") == nullptr};
  std::fprintf(stderr, "%s %s\n", style.Bad("instarctl:").c_str(),
               std::string(message).c_str());
  return code;
}

// What the program answered.
int Fail(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return Fail(kTimedOut, error.message());
    case absl::StatusCode::kCancelled:
      return Fail(kCancelled, error.message());
    default:
      return Fail(kRefused, error.message());
  }
}

// What came of a call of `client` that is answered at once: a program that
// does not cannot be reached.
int Fail(const ControlClient& client, const absl::Status& error) {
  const bool has_answered =
      client.connection().ok() && !absl::IsDeadlineExceeded(error);
  return has_answered ? Fail(error) : Fail(kUnreachable, error.message());
}

void Print(const Lines& lines) {
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

Style OutputStyle() {
  const char* terminal = getenv("TERM");
  const bool is_terminal = isatty(STDOUT_FILENO) != 0 && terminal != nullptr &&
                           absl::string_view(terminal) != "dumb";
  return {is_terminal, is_terminal && getenv("NO_COLOR") == nullptr};
}

ScreenSize SizeFor(const Style& style) {
  return style.is_terminal ? ScreenSizeOf(STDOUT_FILENO) : ScreenSize{};
}

// Signals that ask for an end. Waits are interrupted by them.
std::atomic<int> interruptions{0};  // written by the handler, one thread

void CountInterruptions() {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    interruptions.fetch_add(1, std::memory_order_relaxed);
  };
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

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

absl::StatusOr<ProgramReport> AskWhoItIs(const RunningProgram& program) {
  absl::StatusOr<ControlClient> client = ControlClient::Connect(program.socket);
  if (!client.ok()) return client.status();
  client->set_patience(std::chrono::seconds(2));
  return client->Program();
}

// A program that has closed all of its descriptors, as daemons do, listens anew
// within a second; until then a connection may be made that nobody takes.
absl::StatusOr<ControlClient> ConnectAndGreet(const std::string& socket) {
  constexpr std::chrono::seconds kListensAgain(3);
  const auto until = std::chrono::steady_clock::now() + kListensAgain;
  while (true) {
    absl::StatusOr<ControlClient> client = ControlClient::Connect(socket);
    if (client.ok()) {
      client->Program().status().IgnoreError();
      if (client->connection().ok()) return client;
    }
    if (std::chrono::steady_clock::now() >= until) {
      return client.ok() ? absl::StatusOr<ControlClient>(client->connection())
                         : std::move(client);
    }
    std::this_thread::sleep_for(milliseconds(100));
  }
}

absl::StatusOr<ControlClient> ConnectToProcess(pid_t pid) {
  absl::StatusOr<RunningProgram> program = FindProgramOf(pid);
  if (absl::IsNotFound(program.status())) {
    for (const SleepingProcess& process : FindSleepingProcesses()) {
      if (process.pid != pid) continue;
      const absl::Status woken =
          Wake(process, std::chrono::seconds(10)).status();
      if (!woken.ok()) return woken;
      program = FindProgramOf(pid);
    }
  }
  if (!program.ok()) return program.status();
  return ConnectAndGreet(program->socket);
}

absl::StatusOr<ControlClient> ConnectToChosen(const Options& options,
                                              const std::string& module_path) {
  if (options.pid != 0) return ConnectToProcess(options.pid);
  std::vector<std::string> hints;
  const absl::StatusOr<std::vector<RunningProgram>> programs =
      FindPrograms(&hints);
  if (!programs.ok()) return programs.status();
  const absl::StatusOr<std::optional<RunningProgram>> woken =
      WakeChosen(*programs, options.program);
  if (!woken.ok()) return woken.status();
  if (woken->has_value()) return ConnectAndGreet((*woken)->socket);
  const absl::StatusOr<RunningProgram> program = ChooseProgram(
      *programs, options.program,
      programs->size() > 1 && !module_path.empty() ? BuiltForOf(module_path)
                                                   : BuiltFor{},
      AskWhoItIs);
  if (!program.ok()) {
    hints.insert(hints.begin(), std::string(program.status().message()));
    return absl::Status(program.status().code(), absl::StrJoin(hints, "\n  "));
  }
  return ConnectAndGreet(program->socket);
}

int Ps() {
  std::vector<std::string> hints;
  const absl::StatusOr<std::vector<RunningProgram>> programs =
      FindPrograms(&hints);
  if (!programs.ok()) return Fail(kUnreachable, programs.status().message());
  if (programs->empty()) {
    std::printf("no program that can be updated is running as this user\n");
  }
  std::vector<ListedProgram> listed;
  for (const SleepingProcess& process : FindSleepingProcesses()) {
    hints.push_back(absl::StrCat(
        process.name, " (", process.pid,
        "): forked by one that can be updated; starts a manager when a command "
        "is for it"));
  }
  for (const RunningProgram& program : *programs) {
    absl::StatusOr<ControlClient> client =
        ControlClient::Connect(program.socket);
    if (!client.ok()) {
      listed.push_back({program, client.status()});
      continue;
    }
    client->set_patience(std::chrono::seconds(2));
    listed.push_back({program, client->Status()});
  }
  if (!listed.empty()) {
    Print(
        ProgramLines(listed, std::chrono::system_clock::now(), OutputStyle()));
  }
  Print(hints);
  return kDone;
}

// `act` answers whether everything that was asked for was done.
int ForAll(const Options& options, const std::string& module_path,
           absl::FunctionRef<absl::Status(Processes&)> act) {
  std::string name = options.program;
  if (name.empty() && !module_path.empty()) {
    name = BuiltForOf(module_path).program;
  }
  absl::StatusOr<Processes> processes = Processes::Find(name);
  if (!processes.ok()) {
    return Fail(kUnreachable, processes.status().message());
  }
  const absl::Status done = act(*processes);
  return done.ok() ? kDone : Fail(done);
}

int Check(const Options& options) {
  const std::string path = AbsolutePath(options.module);
  if (options.all) {
    return ForAll(options, path, [&](Processes& processes) {
      return processes.Check(path, options.without_stacks);
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

// The report on what was asked for by `request`; null: it is not there (yet, or
// any more), or it cannot be told which one it is: other clients may have asked
// for the same.
const PendingReport* FindPending(const StatusReport& status,
                                 const Request& request) {
  const PendingReport* found = nullptr;
  for (const PendingReport& pending : status.pending) {
    const bool is_it =
        request.command == Command::kLoad
            ? pending.kind == PendingKind::kLoad &&
                  pending.module == request.path
            : pending.kind == PendingKind::kUndo &&
                  (request.update.empty() || pending.update == request.update);
    if (!is_it) continue;
    if (found != nullptr) return nullptr;
    found = &pending;
  }
  return found;
}

// Sends a request to load or undo, and shows what happens until the reply.
class UpdateCommand {
 public:
  UpdateCommand(ControlClient client, Request request)
      : client_(std::move(client)),
        request_(std::move(request)),
        style_(OutputStyle()),
        display_(stdout, SizeFor(style_)) {}

  int Run() {
    CountInterruptions();
    const absl::StatusOr<std::int64_t> id = client_.Send(request_);
    if (!id.ok()) {
      return client_.connection().ok()
                 ? Fail(kRefused, id.status().message())
                 : Fail(kUnreachable, id.status().message());
    }
    while (true) {
      // Most updates are done before anything could be shown.
      const absl::StatusOr<std::optional<Reply>> reply =
          client_.Receive(*id, milliseconds(100));
      if (!reply.ok()) {
        display_.Clear();
        return Fail(kUnreachable, reply.status().message());
      }
      if (reply->has_value()) return End((*reply)->As<UpdateReport>());
      const int asked = interruptions.load(std::memory_order_relaxed);
      if (asked > 1) {
        display_.Clear();
        return Fail(kRefused,
                    "left; the update goes on without us (instarctl log)");
      }
      const std::optional<Reply> early = Look(*id, asked > 0);
      if (early.has_value()) return End(early->As<UpdateReport>());
    }
  }

 private:
  // Shows what is going on, and cancels it if that was asked for. The reply, if
  // that has come meanwhile: what is pending then is another client's.
  std::optional<Reply> Look(std::int64_t id, bool cancel) {
    const absl::StatusOr<StatusReport> status = client_.Status();
    if (!status.ok()) {
      // A connection that is closed is found out by Run().
      display_.Show({style_.Bad(std::string(status.status().message()))});
      return std::nullopt;
    }
    absl::StatusOr<std::optional<Reply>> reply =
        client_.Receive(id, milliseconds(0));
    if (reply.ok() && reply->has_value()) return *std::move(reply);
    const PendingReport* const pending = FindPending(*status, request_);
    if (pending == nullptr) {
      if (cancel && !status->pending.empty()) {
        display_.Show(
            {"other clients have asked for the same: see `instarctl status`, "
             "and cancel by `instarctl cancel UPDATE`; Ctrl-C leaves it to "
             "itself"});
      }
      return std::nullopt;
    }
    Lines lines = WaitingLines(*status, *pending, style_);
    if (cancel && !has_cancelled_) {
      if (pending->update.empty()) {
        // Without a name everything that is pending would be cancelled.
        lines.push_back("cancelling as soon as it is its turn ...");
      } else {
        has_cancelled_ = true;
        cancel_error_ = client_.Cancel(pending->update).status();
      }
    }
    if (has_cancelled_) {
      lines.push_back(cancel_error_.ok()
                          ? "cancelling ..."
                          : absl::StrCat("it cannot be cancelled any more: ",
                                         cancel_error_.message()));
    }
    display_.Show(std::move(lines));
    return std::nullopt;
  }

  int End(const absl::StatusOr<UpdateReport>& report) {
    display_.Clear();
    if (!report.ok()) return Fail(report.status());
    Print(UpdateLines(request_.command == Command::kLoad ? PendingKind::kLoad
                                                         : PendingKind::kUndo,
                      *report, style_));
    return kDone;
  }

  ControlClient client_;
  const Request request_;
  const Style style_;
  LiveDisplay display_;
  bool has_cancelled_ = false;
  absl::Status cancel_error_;
};

int LoadOrUndo(const Options& options, Command command) {
  Request request;
  request.command = command;
  request.timeout = std::chrono::duration_cast<nanoseconds>(
      std::chrono::duration<double>(options.timeout_s));
  request.update = options.update;
  if (command == Command::kLoad) request.path = AbsolutePath(options.module);
  if (options.all) {
    return ForAll(options, request.path, [&](Processes& processes) {
      return command == Command::kLoad
                 ? processes.Load(request.path, request.timeout)
                 : processes.Undo(request.update, request.timeout);
    });
  }
  absl::StatusOr<ControlClient> client = ConnectToChosen(options, request.path);
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  return UpdateCommand(*std::move(client), std::move(request)).Run();
}

// Once, or again and again until a signal.
int Status(const Options& options) {
  if (options.all) {
    if (options.json || options.watch) {
      return Fail(kUsage, "--all goes with neither --json nor --watch");
    }
    return ForAll(options, "",
                  [](Processes& processes) { return processes.Status(); });
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
    if (interruptions.load(std::memory_order_relaxed) > 0) return kDone;
  }
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

int Log(const Options& options) {
  const absl::StatusOr<std::vector<RunningProgram>> programs = FindPrograms();
  if (!programs.ok()) return Fail(kUnreachable, programs.status().message());
  const std::size_t running =
      options.program.empty()
          ? programs->size()
          : std::count_if(programs->begin(), programs->end(),
                          [&](const RunningProgram& program) {
                            return program.name == options.program ||
                                   absl::StrCat(program.pid) == options.program;
                          });
  if (running == 0 || (running > 1 && !options.program.empty())) {
    return LogOfFile(options, running > 0);
  }
  absl::StatusOr<ControlClient> client = ConnectToChosen(options, "");
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const absl::StatusOr<JournalReport> journal = client->Log(options.entries);
  if (!journal.ok()) return Fail(*client, journal.status());
  return PrintLog(options, *journal);
}

// Of a command that asks no program.
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

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(kDescription, "instarctl");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();  // --program may stand behind the command
  app.add_option("-p,--program", options.program,
                 "the name or the process number of the program")
      ->type_name("NAME|PID");
  app.add_option("--pid", options.pid,
                 "its process number, also of one in another mount, network or "
                 "process namespace, or another root")
      ->type_name("PID")
      ->check(CLI::PositiveNumber)
      ->excludes("--program");

  int result = kDone;
  const auto command = [&](const char* name, const char* description,
                           const char* example, auto action) {
    CLI::App* const added = app.add_subcommand(name, description);
    added->footer(absl::StrCat("Example:\n  instarctl ", example,
                               "\n\ninstarctl --help lists the exit codes."));
    added->callback([&result, action] { result = action(); });
    return added;
  };
  const auto module = [&](CLI::App* to) {
    to->add_option("module", options.module,
                   "the update module, a .so file, or a bundle")
        ->type_name("MODULE")
        ->required();
  };
  const auto timeout = [&](CLI::App* to) {
    to->add_option("--timeout", options.timeout_s,
                   "seconds to wait for a safe moment")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.0, 1e9).description(""))
        ->capture_default_str();
  };
  const auto all = [&](CLI::App* to) {
    to->add_flag("--all", options.all,
                 "for every process of the program, those that it forked too");
  };
  const auto update = [&](CLI::App* to, const char* description) {
    to->add_option("update", options.update, description)->type_name("UPDATE");
  };
  const auto json = [&](CLI::App* to) {
    to->add_flag("--json", options.json,
                 "for programs: docs/control_protocol.md describes it");
  };

  command("ps", "Lists the programs that can be updated.", "ps",
          [] { return Ps(); });
  CLI::App* const check =
      command("check",
              "Says what a module would do and what is in its way; changes "
              "nothing.",
              "check add_ratings.so", [&] { return Check(options); });
  module(check);
  all(check);
  check->add_flag("--without-stacks", options.without_stacks,
                  "stops no thread, not even to look at its stack");
  CLI::App* const load =
      command("load", "Applies an update module to the running program.",
              "load add_ratings.so --timeout 5",
              [&] { return LoadOrUndo(options, Command::kLoad); });
  module(load);
  timeout(load);
  all(load);
  CLI::App* const status = command(
      "status", "Shows threads, updates, and objects by class and version.",
      "status --json", [&] { return Status(options); });
  json(status);
  all(status);
  status->add_flag("--watch", options.watch, "shows it anew, until Ctrl-C");
  update(command("cancel", "Gives up updates that are waiting.",
                 "cancel ratings", [&] { return Cancel(options); }),
         "its name; without it: all that are waiting");
  CLI::App* const undo =
      command("undo", "Takes back the latest update.", "undo ratings",
              [&] { return LoadOrUndo(options, Command::kUndo); });
  update(undo, "its name, to be sure; undone only if it is the latest");
  timeout(undo);
  all(undo);
  module(command("enable",
                 "Has an update applied at each start of the program from now "
                 "on, and keeps a copy of it for that.",
                 "enable ratings.so", [&] {
                   return PrintOrFail(
                       Enable(AbsolutePath(options.module), options.program));
                 }));
  command("disable",
          "Ends that; a program that runs keeps the update until it ends.",
          "disable ratings",
          [&] { return PrintOrFail(Disable(options.update, options.program)); })
      ->add_option("update", options.update, "its name")
      ->type_name("UPDATE")
      ->required();
  command("list", "Shows which updates are enabled, and what keeps them out.",
          "list -p site_manager", [&] {
            return PrintOrFail(ListEnabled(options.program, OutputStyle()));
          });
  CLI::App* const bundle = command(
      "bundle",
      "Puts modules of one update for several builds into one file, which is "
      "good wherever a module is.",
      "bundle -o fix.bundle v1/fix.so v2/fix.so",
      [&] { return Bundle(options); });
  bundle->add_option("modules", options.modules, "modules, or bundles")
      ->type_name("MODULE")
      ->required();
  bundle->add_option("-o,--output", options.output, "the file to be made")
      ->type_name("FILE")
      ->required();
  CLI::App* const log = command(
      "log",
      "Shows what happened to the program, also before it was started, and "
      "when it has ended.",
      "log -n 20", [&] { return Log(options); });
  json(log);
  log->add_option("-n,--entries", options.entries,
                  "at most so many, the latest")
      ->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help is no error; everything else is a matter of usage.
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  return result;
}

}  // namespace
}  // namespace instarctl
}  // namespace instar

int main(int argc, char** argv) { return instar::instarctl::Main(argc, argv); }

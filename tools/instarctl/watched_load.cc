// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/watched_load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/sha256.h"
#include "manager/control/control_client.h"
#include "manager/control/process_file.h"
#include "manager/enabled/enabled_folders.h"
#include "manager/enabled/start_mark.h"
#include "manager/internal/system_log.h"
#include "manager/module/file_descriptor.h"
#include "manager/module/module_file.h"
#include "tools/instarctl/console.h"
#include "tools/instarctl/display.h"
#include "tools/instarctl/output.h"
#include "tools/instarctl/update_command.h"

namespace instar {
namespace instarctl {
namespace {

using Kind = Watch::Kind;
using Verdict = Watch::Verdict;

// A program that has closed its descriptors listens anew within a second, and
// one that has closed a connection has ended within that time, if that is why.
constexpr std::chrono::seconds kListensAgain(3);

// Empty, 0: there are several.
void SetEnvironment(const std::string& program, pid_t pid,
                    const std::string& update) {
  if (program.empty()) {
    unsetenv("INSTAR_PROGRAM");
  } else {
    setenv("INSTAR_PROGRAM", program.c_str(), 1);
  }
  setenv("INSTAR_UPDATE", update.c_str(), 1);
  if (pid == 0) {
    unsetenv("INSTAR_PID");
  } else {
    setenv("INSTAR_PID", absl::StrCat(pid).c_str(), 1);
  }
}

// "2000 requests, 3 errors; the health command passed 30 times"
std::string CountText(const Watch::Progress& progress) {
  std::string text;
  if (progress.counted.requests > 0 || progress.counted.errors > 0) {
    text = absl::StrCat(progress.counted.requests, " requests, ",
                        progress.counted.errors, " errors");
  }
  if (progress.health_runs > 0) {
    absl::StrAppend(&text, text.empty() ? "" : "; ",
                    "the health command passed ", progress.health_runs,
                    progress.health_runs == 1 ? " time" : " times");
  }
  return text;
}

Verdict RunWatch(Watch& watch, const std::string& what) {
  const Style style = OutputStyle();
  LiveDisplay display(stdout, SizeFor(style));
  const std::string window = FormatDuration(watch.options().window);
  const auto show = [&](const Watch::Progress& progress) {
    std::string line =
        absl::StrCat("watching ", what, " for ", window,
                     "; Ctrl-C ends that, and leaves the update applied");
    if (style.is_terminal) {
      const std::string counts = CountText(progress);
      line = absl::StrCat("watching ", what, ": ",
                          FormatDuration(progress.elapsed), " of ", window,
                          counts.empty() ? "" : ", ", counts);
    }
    display.Show({style.Waiting(line)});
  };
  Verdict verdict = watch.Run(show, [] { return Interruptions() > 0; });
  display.Clear();
  if (verdict.kind == Kind::kGood) {
    const std::string counts = CountText(watch.progress());
    Print({absl::StrCat("  watched ", what, " for ", window, ": ",
                        counts.empty() ? "nothing happened" : counts)});
  }
  std::fflush(stdout);
  return verdict;
}

std::string Said(const std::string& update, const Verdict& verdict) {
  return absl::StrCat(update,
                      verdict.kind == Kind::kCrashed
                          ? " may have crashed the program: "
                          : " failed while it was watched: ",
                      verdict.reason);
}

// By what names an update may be enabled: by which the program is found, and
// that of the executable for which it was built.
std::vector<std::string> NamesOf(const std::string& program,
                                 const ModuleFile& module) {
  std::vector<std::string> names = {program};
  if (!module.program_name().empty() && module.program_name() != program) {
    names.push_back(module.program_name());
  }
  return names;
}

// Where the update is enabled, it is left out from now on: the next start would
// bring it back. What is to be said of that.
std::string LeaveOutOfStarts(const std::vector<std::string>& programs,
                             const std::string& update,
                             const Verdict& verdict) {
  int left_out = 0;
  std::string error;
  for (const std::string& program : programs) {
    const absl::StatusOr<int> times =
        LeaveOut(EnabledFolders::FromEnvironment(), program, update,
                 absl::StrCat("under watch: ", verdict.reason));
    if (times.ok()) {
      left_out += *times;
    } else {
      error = absl::StrCat(
          "; it cannot be seen to that the next start leaves it out, if it is "
          "enabled: ",
          times.status().message());
    }
  }
  if (left_out == 0) return error;
  return absl::StrCat("; it is enabled, and will be left out at the next start",
                      error);
}

// The program's own line, if it still writes one, says that it was undone; this
// one says why.
void Log(const std::string& program, const std::string& update,
         const std::string& path, const Verdict& verdict) {
  const SystemLog log = SystemLog::FromEnvironment();
  if (!log.IsThere()) return;
  const manager_internal::FileDescriptor file(
      open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto digest = Sha256OfFile(file.number());
  log.Write(
      SystemLog::Severity::kWarning,
      absl::StrCat(
          "event=", verdict.kind == Kind::kCrashed ? "crashed" : "found_faulty",
          LogField("program", program), LogField("update", update),
          " user=", getuid(), LogField("module", path), " sha256=",
          digest.value_or("unknown"), LogField("detail", verdict.reason)));
}

// What comes of a verdict that is no failure; nothing of one that is. `left`:
// what is to be said if the watch was left.
std::optional<int> EndWithoutFailure(const Verdict& verdict,
                                     const std::string& left) {
  switch (verdict.kind) {
    case Kind::kGood:
      return kDone;
    case Kind::kLeft:
      return Fail(kLeftUnwatched, left);
    case Kind::kEnded:
      return Fail(kUnreachable,
                  absl::StrCat(verdict.reason,
                               " while it was watched, which says nothing of "
                               "the update"));
    case Kind::kFailed:
    case Kind::kCrashed:
      break;
  }
  return std::nullopt;
}

// Of one process, after a failure.
int TakeBack(Watch& watch, const RunningProgram& program,
             const std::string& update, std::chrono::nanoseconds timeout,
             const std::string& said) {
  absl::StatusOr<ControlClient> client =
      ControlClient::ConnectPatiently(program, kListensAgain);
  const absl::StatusOr<UpdateReport> undone =
      client.ok() ? client->Undo(update, timeout) : client.status();
  if (undone.ok()) {
    Print(UpdateLines(PendingKind::kUndo, *undone, OutputStyle()));
    return Fail(kFailedUnderWatch, absl::StrCat(said, "; it was taken back"));
  }
  if (const auto end = watch.FindEnd(kListensAgain)) {
    return Fail(kFailedUnderWatch, absl::StrCat(said, "; then ", end->reason));
  }
  return Fail(
      kStillApplied,
      absl::StrCat(said, "; it is still applied, and cannot be taken back: ",
                   undone.status().message()));
}

// One that no other one was forked from: what goes wrong there reaches fewest.
std::size_t ChooseFirst(const std::vector<RunningProgram>& programs) {
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const bool has_children = std::any_of(
        programs.begin(), programs.end(), [&](const RunningProgram& other) {
          const auto stat = manager_internal::ReadProcessStat(other.pid);
          return stat.has_value() && stat->parent == programs[i].pid;
        });
    if (!has_children) return i;
  }
  return 0;
}

// Those that have ended meanwhile are passed over.
absl::Status BeginForEach(Watch& watch,
                          absl::Span<const RunningProgram> programs) {
  for (const RunningProgram& program : programs) {
    const absl::Status begun = watch.Begin({program});
    if (!begun.ok() && manager_internal::IsRunning(program.pid)) return begun;
  }
  return absl::OkStatus();
}

class AllUnderWatch {
 public:
  AllUnderWatch(Processes& processes, const Request& load,
                const WatchOptions& options, const ModuleFile& module)
      : processes_(processes),
        load_(load),
        options_(options),
        module_(module),
        update_(module.update_name()) {}

  int Run() {
    CountInterruptions();
    const auto lacking = processes_.FindLacking(load_.path, update_, 0);
    if (!lacking.ok()) return Fail(lacking.status());
    if (lacking->empty()) return kDone;
    if (const int code = LoadFirst((*lacking)[ChooseFirst(*lacking)]);
        code != kDone) {
      return code;
    }
    return LoadOthers();
  }

 private:
  int LoadFirst(const RunningProgram& first) {
    Watch watch(options_);
    if (const absl::Status begun = watch.Begin({first}); !begun.ok()) {
      return Fail(kUnreachable, begun.message());
    }
    SetEnvironment(first.name, first.pid, update_);
    if (const absl::Status health = watch.CheckHealth(); !health.ok()) {
      return Fail(kRefused,
                  absl::StrCat("before the update is loaded, ",
                               health.message(), "; nothing was changed"));
    }
    const absl::Status loaded = Processes::LoadInto(
        {first}, load_.path, update_, load_.timeout, &applied_);
    if (!loaded.ok()) return Fail(loaded);
    const std::string what = absl::StrCat("process ", first.pid);
    if (applied_.empty()) {
      applied_.push_back(first);  // it has ended: nobody knows how far it was
      const auto end = watch.FindEnd(kListensAgain);
      return end.has_value()
                 ? End(*end, what)
                 : Fail(kUnreachable, "the process does not answer");
    }
    return End(RunWatch(watch, what), what);
  }

  int LoadOthers() {
    Watch watch(options_);
    const std::set<std::string> names = Names();
    SetEnvironment(names.size() == 1 ? *names.begin() : "", 0, update_);
    const std::size_t known = processes_.all().size();
    absl::Status done = BeginForEach(watch, processes_.all());
    if (done.ok()) {
      done =
          processes_.LoadIntoAll(load_.path, update_, load_.timeout, &applied_);
    }
    if (done.ok()) {
      done = BeginForEach(watch,
                          absl::MakeConstSpan(processes_.all()).subspan(known));
    }
    if (!done.ok()) {
      const bool is_gone =
          processes_.TakeBack(applied_, update_, load_.timeout);
      return is_gone ? Fail(done) : Fail(kStillApplied, done.message());
    }
    const std::string what =
        absl::StrCat("all ", processes_.all().size(), " processes");
    return End(RunWatch(watch, what), what);
  }

  // What comes of the verdict on `what`.
  int End(const Verdict& verdict, const std::string& what) {
    const auto end = EndWithoutFailure(
        verdict,
        absl::StrCat("left: ", update_, " stays applied in ",
                     applied_.size() == 1 ? what : "the processes above",
                     ", and nobody watches it"));
    if (end.has_value()) return *end;
    const std::set<std::string> names = Names();
    Log(absl::StrJoin(names, ","), update_, load_.path, verdict);
    std::set<std::string> enabled_for;
    for (const std::string& name : names) {
      for (std::string& each : NamesOf(name, module_)) {
        enabled_for.insert(std::move(each));
      }
    }
    const std::string left_out = LeaveOutOfStarts(
        {enabled_for.begin(), enabled_for.end()}, update_, verdict);
    const bool is_gone = processes_.TakeBack(applied_, update_, load_.timeout);
    return Fail(is_gone ? kFailedUnderWatch : kStillApplied,
                absl::StrCat(Said(update_, verdict),
                             is_gone ? "; it is in no process any more"
                                     : "; it could not be taken back "
                                       "everywhere",
                             left_out));
  }

  // Of the programs; of those that use a library there may be several.
  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const RunningProgram& program : processes_.all()) {
      names.insert(program.name);
    }
    return names;
  }

  Processes& processes_;
  const Request& load_;
  const WatchOptions& options_;
  const ModuleFile& module_;
  const std::string update_;
  std::vector<RunningProgram> applied_;
};

}  // namespace

int LoadUnderWatch(const RunningProgram& program, const Request& load,
                   const WatchOptions& options) {
  CountInterruptions();
  const absl::StatusOr<std::vector<ModuleFile>> modules =
      ReadAllModules(load.path);
  // What is wrong with it, the program says.
  std::string update =
      modules.ok() ? modules->front().update_name() : load.path;
  std::vector<std::string> names = {program.name};
  if (modules.ok()) names = NamesOf(program.name, modules->front());
  Watch watch(options);
  if (const absl::Status begun = watch.Begin({program}); !begun.ok()) {
    return Fail(kUnreachable, begun.message());
  }
  SetEnvironment(program.name, program.pid, update);
  if (const absl::Status health = watch.CheckHealth(); !health.ok()) {
    return Fail(kRefused,
                absl::StrCat("before the update is loaded, ", health.message(),
                             "; nothing was changed"));
  }
  absl::StatusOr<ControlClient> client =
      ControlClient::ConnectPatiently(program, kListensAgain);
  if (!client.ok()) return Fail(kUnreachable, client.status().message());
  const UpdateOutcome outcome = RunUpdate(*client, load, /*json=*/false);
  Verdict verdict;
  if (outcome.report.has_value()) {
    update = outcome.report->update;
    verdict = RunWatch(watch, "it");
  } else {
    std::optional<Verdict> end;
    if (outcome.code == kUnreachable) end = watch.FindEnd(kListensAgain);
    if (!end.has_value()) return Fail(outcome.code, outcome.error.message());
    verdict = *std::move(end);
  }
  const auto end = EndWithoutFailure(
      verdict, absl::StrCat("left: ", update,
                            " stays applied, and nobody watches it; "
                            "`instarctl undo ",
                            update, "` takes it back"));
  if (end.has_value()) return *end;
  Log(program.name, update, load.path, verdict);
  const std::string said = absl::StrCat(
      Said(update, verdict), LeaveOutOfStarts(names, update, verdict));
  if (verdict.kind == Kind::kCrashed) return Fail(kFailedUnderWatch, said);
  return TakeBack(watch, program, update, load.timeout, said);
}

int LoadAllUnderWatch(Processes& processes, const Request& load,
                      const WatchOptions& options) {
  const absl::StatusOr<std::vector<ModuleFile>> modules =
      ReadAllModules(load.path);
  if (!modules.ok()) return Fail(modules.status());
  return AllUnderWatch(processes, load, options, modules->front()).Run();
}

}  // namespace instarctl
}  // namespace instar

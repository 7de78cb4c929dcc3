// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The command line of programs that can be updated: see kDescription, or
// `instarctl --help`.

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "tools/instarctl/choice.h"
#include "tools/instarctl/commands.h"
#include "tools/instarctl/console.h"
#include "tools/instarctl/enabled.h"

namespace instar {
namespace instarctl {
namespace {

constexpr char kDescription[] =
    "Updates programs that run, and shows how they are.";

constexpr char kFooter[] = R"(Examples:
  instarctl ps                            what runs, and the updates it has
  instarctl check add_ratings.so          what the update would do; changes nothing
  instarctl load add_ratings.so           applies it, and shows what it waits for
  instarctl load add_ratings.so --timeout 5 || echo "not now"
  instarctl load add_ratings.so --watch 30s --health 'curl -fsS localhost'
                                          ... taken back if it does no good
  instarctl -p site_manager status --watch
  instarctl undo                          takes back the latest update
  instarctl -p nginx load fix.so --all    in all of its processes, or in none
  instarctl load fix.so --using libssl.so.3
                                          in all that have loaded that library
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
  6  --watch has found a failure: the update was taken back, or its process has
     ended
  7  a failure, and the update could not be taken back: it is still applied
  8  the watch was left; the update stays applied

Ctrl-C during load and undo cancels the update; a second one leaves it to itself.
While an update is watched it ends the watch.
)";

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
  // Of a command that asks no process.
  const auto without_pid = [&](auto action) {
    return [&options, action] {
      if (options.pid == 0) return action();
      return static_cast<int>(
          Fail(kUsage,
               "--pid is for commands that ask a process, which this "
               "one does not; a program is named by --program NAME"));
    };
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
  const auto using_library = [&](CLI::App* to) {
    to->add_option("--using", options.library,
                   "for every process that has loaded this shared object (its "
                   "soname, or the name or path by which it was loaded), in "
                   "the module's build")
        ->type_name("LIBRARY");
  };
  const auto update = [&](CLI::App* to, const char* description) {
    to->add_option("update", options.update, description)->type_name("UPDATE");
  };
  const auto json = [&](CLI::App* to) {
    to->add_flag("--json", options.json,
                 "for programs: docs/control_protocol.md describes it");
  };

  json(command("ps",
               "Lists the programs that can be updated, or the processes of "
               "the one that --program names: each below the one that has "
               "forked it.",
               "ps", without_pid([&] { return Ps(options); })));
  CLI::App* const check =
      command("check",
              "Says what a module would do and what is in its way; changes "
              "nothing.",
              "check add_ratings.so", [&] { return Check(options); });
  module(check);
  all(check);
  using_library(check);
  check->add_flag("--without-stacks", options.without_stacks,
                  "stops no thread, not even to look at its stack");
  CLI::App* const load =
      command("load", "Applies an update module to the running program.",
              "load add_ratings.so --timeout 5",
              [&] { return LoadOrUndo(options, Command::kLoad); });
  module(load);
  timeout(load);
  all(load);
  using_library(load);
  json(load);
  CLI::Option* const window =
      load->add_option("--watch", options.window,
                       "takes the update back if something fails within that "
                       "time, as 30s or 2m")
          ->type_name("TIME");
  load->add_option("--health", options.health,
                   "a command that fails, each second, when all is not well")
      ->type_name("COMMAND")
      ->needs(window);
  load->add_option("--max-errors", options.max_errors,
                   "more errors than so many (10), or than this share of the "
                   "requests (5%), are too many, of those that the program "
                   "counts")
      ->type_name("LIMIT")
      ->needs(window);
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
  using_library(undo);
  json(undo);
  CLI::App* const unload = command(
      "unload",
      "Unloads what was loaded for an update that is undone, unless something "
      "still leads into it.",
      "unload ratings", [&] { return Unload(options); });
  unload->add_option("update", options.update, "its name")
      ->type_name("UPDATE")
      ->required();
  unload
      ->add_option(
          "--hold", options.hold_s,
          "seconds for which the program's threads may be held, to look "
          "through its memory")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 60.0).description(""))
      ->capture_default_str();
  json(unload);
  module(command("enable",
                 "Has an update applied at each start of the program from now "
                 "on, and keeps a copy of it for that.",
                 "enable ratings.so", without_pid([&] {
                   return PrintOrFail(
                       Enable(AbsolutePath(options.module), options.program));
                 })));
  command("disable",
          "Ends that; a program that runs keeps the update until it ends.",
          "disable ratings", without_pid([&] {
            return PrintOrFail(Disable(options.update, options.program));
          }))
      ->add_option("update", options.update, "its name")
      ->type_name("UPDATE")
      ->required();
  command("list", "Shows which updates are enabled, and what keeps them out.",
          "list -p site_manager", without_pid([&] {
            return PrintOrFail(ListEnabled(options.program, OutputStyle()));
          }));
  CLI::App* const bundle = command(
      "bundle",
      "Puts modules of one update for several builds into one file, which is "
      "good wherever a module is.",
      "bundle -o fix.bundle v1/fix.so v2/fix.so",
      without_pid([&] { return Bundle(options); }));
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

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An example as it is played: its program runs, is told lines on its standard
// input, and takes updates and gives them back. What happens is a transcript.
//
//   int main(int argc, char** argv) {
//     examples::Scenario scenario(argc, argv, "examples/ksplice");
//     scenario.Chapter("The first patch");
//     scenario.Load("patch_1");         // # load patch_1: done
//     scenario.Tell("deliver");         // > deliver
//     scenario.Hear();                  // what the program says
//     scenario.Undo();                  // # undo patch_1: done
//     return scenario.End();
//   }
//
// Lines that begin with ">" are what the program is told, those with "#" what
// is done with updates, the others what the program says. What it says in
// brackets is a figure, which is another one each time. With --transcript
// figures are left out, so that a test can compare the rest
// (transcript_test.sh).
//
// The program is FOLDER/program, an update FOLDER/NAME.so. The working
// directory must be that of the runfiles, as it is in a test and by `bazel
// run`. The program's threads may be anywhere: nothing here waits for time.
//
// Threads: one, but for Ask().

#ifndef INSTAR_EXAMPLES_SCENARIO_SCENARIO_H_
#define INSTAR_EXAMPLES_SCENARIO_SCENARIO_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "examples/child_process.h"
#include "examples/example_program.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace examples {

class Scenario {
 public:
  // Returns when the program has said "ready". Ends the caller, with what went
  // wrong, if it does not, or if the command line is not understood.
  Scenario(int argc, char** argv, const std::string& folder,
           const std::vector<std::string>& flags = {});
  ~Scenario();
  Scenario(const Scenario&) = delete;
  Scenario& operator=(const Scenario&) = delete;

  void Chapter(const std::string& title);
  void Say(const std::string& text);
  // Left out by --transcript.
  void Figure(const std::string& text);

  void Tell(const std::string& line);
  // The next line of the program that is no figure.
  std::string Hear();
  // Both, and nothing is said of it. Another thread may do this while this one
  // loads or undoes an update.
  std::string Ask(const std::string& line);
  // The figures that came before it.
  const std::vector<std::string>& figures() const { return figures_; }

  // Wait for the update, which may be refused: that is said, too. The latest
  // report is nothing then. How many objects have been converted is a figure.
  void Load(const std::string& module,
            std::chrono::nanoseconds timeout = std::chrono::seconds(60));
  void Undo(std::chrono::nanoseconds timeout = std::chrono::seconds(60));
  // What it would do, and what is in its way now, as figures.
  void Rehearse(const std::string& module);
  // Loads what is refused, or does not come to its moment within `timeout`,
  // with an error that says so.
  void Refused(const std::string& module, std::chrono::nanoseconds timeout,
               const std::string& because);
  const std::optional<instar::UpdateReport>& report() const { return report_; }

  // A load that is under way, and its end.
  void Begin(const std::string& module);
  void End(const std::string& module);
  instar::ControlClient& control() { return *control_; }

  // What must hold: a failure is said, and makes End() answer 1.
  void Check(bool holds, const std::string& what);

  // Ends the program's input and waits for it. The exit code of the demo.
  int End();

 private:
  std::string PathOf(const std::string& module) const;
  // Begins to load it: the number of the request.
  std::int64_t Send(const std::string& module,
                    std::chrono::nanoseconds timeout);
  void Note(const std::string& what,
            const absl::StatusOr<instar::UpdateReport>& report);

  void Write(const std::string& line);

  const std::string folder_;
  bool is_transcript_ = false;
  int wrong_ = 0;
  int input_ = -1;
  site_manager::TemporaryDirectory directory_;
  std::unique_ptr<site_manager::ChildProcess> process_;
  std::optional<instar::ControlClient> control_;
  std::optional<instar::UpdateReport> report_;
  std::map<std::string, std::int64_t> begun_;
  std::vector<std::string> figures_;
};

}  // namespace examples

#endif  // INSTAR_EXAMPLES_SCENARIO_SCENARIO_H_

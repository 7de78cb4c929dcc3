// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that the tour or a test starts, and what it says.
//
//   ChildProcess program({"examples/site_manager", "--port=0"});
//   std::optional<std::string> line = program.AwaitLine("site_manager: ");
//   ...
//   program.Signal(SIGTERM);
//   int code = program.Wait();
//
// Its output and its errors are one text, read all the time, so that it never
// waits for a reader. It is killed if it still runs when its ChildProcess goes,
// or when the thread that started it ends.
//
// Threads: one; but the output may be awaited by any.

#ifndef INSTAR_EXAMPLES_CHILD_PROCESS_H_
#define INSTAR_EXAMPLES_CHILD_PROCESS_H_

#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"

namespace site_manager {

class ChildProcess {
 public:
  // The first argument is the program's path; `environment` ("NAME=value")
  // comes in addition to the caller's. Ends the caller if there is no process
  // to be had; a program that cannot be executed ends with code 127.
  explicit ChildProcess(std::vector<std::string> arguments,
                        std::vector<std::string> environment = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }

  // Waits for the next line that fits, and goes on behind it the next time.
  // Nothing if the output ends first.
  std::optional<std::string> AwaitLine(
      const std::function<bool(const std::string&)>& fits);
  // ... that begins so.
  std::optional<std::string> AwaitLine(absl::string_view beginning);
  // The next AwaitLine() looks at what the process writes from now on.
  void SkipOutput();
  std::vector<std::string> Output() const;

  void Signal(int number);
  // Its exit code, or 128 + the signal that ended it; all output is there then.
  int Wait();

 private:
  void Read();
  void ReadWhatIsThere();  // under the lock

  pid_t pid_ = -1;
  std::optional<int> code_;
  std::thread reader_;

  mutable std::mutex lock_;  // of all that follows
  std::condition_variable changed_;
  int output_ = -1;   // a pipe; reading does not wait
  std::string line_;  // that has not ended yet
  std::vector<std::string> lines_;
  std::size_t next_ = 0;  // of lines_, for AwaitLine()
  bool is_over_ = false;
};

struct Finished {
  int code;
  std::vector<std::string> output;
};
// Runs a program to its end.
Finished RunToEnd(std::vector<std::string> arguments,
                  std::vector<std::string> environment = {});

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_CHILD_PROCESS_H_

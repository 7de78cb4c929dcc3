// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// instarctl, run by tests against a service that answers as they say.

#ifndef INSTAR_TOOLS_INSTARCTL_RUNNING_INSTARCTL_H_
#define INSTAR_TOOLS_INSTARCTL_RUNNING_INSTARCTL_H_

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "manager/control/control_server.h"
#include "manager/control/fake_control_service.h"

namespace instar {
namespace instarctl {

inline constexpr char kInstarctl[] = "tools/instarctl/instarctl";

// What is read from one end of a pipe or terminal.
class Output {
 public:
  Output() = default;
  explicit Output(int descriptor) : descriptor_(descriptor) {}

  // Until it contains `text`; a failure if it ends before.
  void WaitFor(const std::string& text) {
    while (!absl::StrContains(text_, text)) {
      ASSERT_TRUE(ReadMore()) << "\"" << text << "\" is not in: " << text_;
    }
  }
  const std::string& ReadToEnd() {
    while (ReadMore()) {
    }
    close(descriptor_);
    return text_;
  }

 private:
  bool ReadMore() {
    char bytes[4096];
    const ssize_t size = read(descriptor_, bytes, sizeof(bytes));
    if (size <= 0) return false;  // a terminal ends with EIO
    text_.append(bytes, static_cast<std::size_t>(size));
    return true;
  }

  int descriptor_ = -1;
  std::string text_;
};

// instarctl, running.
struct Running {
  pid_t pid = 0;
  Output out, err;
};

struct Finished {
  int code = -1;
  std::string out, err;
};

inline Running StartInstarctl(std::vector<std::string> arguments,
                              bool on_terminal = false) {
  int out[2], err[2];
  EXPECT_EQ(pipe2(err, O_CLOEXEC), 0);
  if (on_terminal) {
    EXPECT_EQ(openpty(&out[0], &out[1], nullptr, nullptr, nullptr), 0);
    fcntl(out[0], F_SETFD, FD_CLOEXEC);
    fcntl(out[1], F_SETFD, FD_CLOEXEC);
  } else {
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
  }
  std::vector<char*> argv;
  std::string name = kInstarctl;
  argv.push_back(name.data());
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    execv(kInstarctl, argv.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  return {pid, Output(out[0]), Output(err[0])};
}

inline Finished Finish(Running& running) {
  Finished finished;
  finished.out = running.out.ReadToEnd();
  finished.err = running.err.ReadToEnd();
  int status = 0;
  EXPECT_EQ(waitpid(running.pid, &status, 0), running.pid);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  finished.code = WEXITSTATUS(status);
  return finished;
}

inline Finished RunInstarctl(std::vector<std::string> arguments) {
  Running running = StartInstarctl(std::move(arguments));
  return Finish(running);
}

class InstarctlTest : public ::testing::Test {
 protected:
  InstarctlTest() {
    char name[] = "/tmp/instar_test.XXXXXX";
    directory_ = mkdtemp(name);
    setenv("INSTAR_SOCKET_DIRECTORY", directory_.c_str(), 1);
    setenv("TZ", "UTC", 1);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    unsetenv("BUILD_WORKING_DIRECTORY");
  }
  ~InstarctlTest() override {
    server_.reset();
    EXPECT_EQ(std::system(absl::StrCat("rm -rf ", directory_).c_str()), 0);
  }

  void StartServer() {
    auto server = ControlServer::Start(service_, "shop");
    ASSERT_TRUE(server.ok()) << server.status();
    server_.emplace(*std::move(server));
  }

  // A status in which /m.so waits, with this in its way.
  void SetWaiting(const std::string& reason) {
    StatusReport status = SampleStatus();
    PendingReport& pending = status.pending[0];
    pending.kind = PendingKind::kLoad;
    pending.module = "/m.so";
    pending.waits_for = "";
    pending.progress.blockers[0].reason = reason;
    service_.set_status(status);
  }

  // What is left to find after a test of an update that was answered `answer`.
  Finished Load(absl::StatusOr<UpdateReport> answer,
                std::vector<std::string> arguments = {"load", "/m.so"}) {
    Running running = StartInstarctl(std::move(arguments));
    call_ = service_.Next();
    call_.done_update(std::move(answer));
    return Finish(running);
  }

  std::string directory_;
  FakeControlService service_;
  FakeControlService::Call call_;
  std::optional<ControlServer> server_;
};

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_RUNNING_INSTARCTL_H_

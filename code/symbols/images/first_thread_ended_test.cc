// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program whose first thread has ended, by pthread_exit() in main(). Most of
// /proc/self is empty then.

#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "code/function_entry.h"
#include "code/symbols/function.h"
#include "code/symbols/variable.h"
#include "code/updatable_functions_for_test.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

// In a child process, on its second thread, when the first one is gone.
void RunAlone(absl::Status (*body)()) {
  std::thread([body] {
    for (char state = 0; state != 'Z';) {
      std::ifstream stat("/proc/self/task/" + std::to_string(getpid()) +
                         "/stat");
      std::string line;
      std::getline(stat, line);
      const size_t name_end = line.rfind(") ");
      if (name_end != std::string::npos) state = line[name_end + 2];
      std::this_thread::yield();
    }
    const absl::Status status = body();
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    _exit(status.ok() ? 0 : 1);
  }).detach();
  syscall(SYS_exit, 0);  // ends this thread, as pthread_exit() does
}

absl::Status FindWhatIsLoaded() {
  void* const object = dlopen("code/symbols/loaded_for_test.so", RTLD_NOW);
  if (object == nullptr) return absl::NotFoundError(dlerror());
  // Of a file that is read now, and of the program itself.
  const auto loaded = Function::Named("loaded::FileLocal");
  if (!loaded.ok()) return loaded.status();
  const auto variable = FindVariable<int>("loaded::variable");
  if (!variable.ok()) return variable.status();
  const auto own = Function::Of(&RunAlone);
  if (!own.ok()) return own.status();
  if (own->image() == "/proc/thread-self/exe") {
    return absl::NotFoundError("the path of the program");
  }
  return absl::OkStatus();
}

absl::Status RedirectAFunction() {
  auto redirection = Redirect(&code_test::Answer, &code_test::Answer2);
  if (!redirection.ok()) return redirection.status();
  return code_test::Answer(1) == 201 ? absl::OkStatus()
                                     : absl::InternalError("not redirected");
}

void ExpectSuccess(absl::Status (*body)()) {
  const pid_t child = fork();
  if (child == 0) RunAlone(body);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(FirstThreadEndedTest, FunctionsAndVariablesAreFound) {
  ExpectSuccess(&FindWhatIsLoaded);
}

TEST(FirstThreadEndedTest, FunctionsAreRedirected) {
  ExpectSuccess(&RedirectAFunction);
}

}  // namespace
}  // namespace instar

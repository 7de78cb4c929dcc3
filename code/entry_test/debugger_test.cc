// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Entries are changed in a process that gdb traces. The test runs itself under
// gdb, once without and once with what gdb must be told.

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "code/function_entry.h"
#include "code/updatable_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;
using ::testing::HasSubstr;

// What runs under gdb.
int Traced() {
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::atomic<bool> running{false};
  std::thread caller([&] {
    while (!stop) {
      const int result = Answer(1);
      if (result != 101 && result != 201) ++wrong;
      running = true;
    }
  });
  while (!running) std::this_thread::yield();
  std::string outcome = "changed";
  for (int i = 0; i < 200 && outcome == "changed"; ++i) {
    auto redirection = Redirect(&Answer, &Answer2);
    const absl::Status status =
        redirection.ok() ? redirection->Undo() : redirection.status();
    if (!status.ok()) outcome = std::string(status.message());
  }
  stop = true;
  caller.join();
  std::printf("outcome: %s; wrong: %ld\n", outcome.c_str(), wrong.load());
  return 0;
}

// What gdb prints while it runs this program with these commands.
std::string UnderGdb(const std::string& commands) {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) return "";
  const std::string command =
      "gdb --batch --nx -ex 'set startup-with-shell off' " + commands +
      " --args '" + self + "' --traced 2>&1 </dev/null";
  std::string output;
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  char buffer[4096];
  size_t size;
  while ((size = fread(buffer, 1, sizeof(buffer), pipe)) > 0) {
    output.append(buffer, size);
  }
  pclose(pipe);
  return output;
}

bool GdbWorks() {
  return UnderGdb("-ex 'break main' -ex run -ex kill").find("Breakpoint 1, ") !=
         std::string::npos;
}

TEST(DebuggerTest, TracedProcessIsRefusedWithTheRemedy) {
  if (!GdbWorks()) GTEST_SKIP() << "no gdb that can run a program here";
  const std::string output = UnderGdb("-ex run");
  EXPECT_THAT(output, HasSubstr("traces this one"));
  EXPECT_THAT(output, HasSubstr("handle SIGTRAP nostop noprint pass"));
  EXPECT_THAT(output, HasSubstr("wrong: 0"));
}

TEST(DebuggerTest, ToldSoGdbLetsEntriesChange) {
  if (!GdbWorks()) GTEST_SKIP() << "no gdb that can run a program here";
  const std::string output = UnderGdb(
      "-ex 'break main' -ex run -ex delete -ex 'handle SIGTRAP nostop noprint "
      "pass' "
      "-ex 'set variable *(int*)&instar_patch_while_traced = 1' "
      "-ex continue");
  EXPECT_THAT(output, HasSubstr("outcome: changed; wrong: 0")) << output;
}

}  // namespace
}  // namespace instar

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--traced") == 0) {
    return instar::Traced();
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

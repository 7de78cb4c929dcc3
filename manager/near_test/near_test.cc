// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that loads modules as instar-diff makes them: near it, bound to
// what it keeps to itself.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/linux/maps.h"
#include "base/testing/inside.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/module/kept_file.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/module_update.h"
#include "manager/module/private_copy.h"
#include "manager/near_test/counting.h"
#include "manager/near_test/loading.h"
#include "updates/update.h"

namespace instar {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kReach = std::uint64_t{1} << 31;

std::string Refusal(const std::string& path, StatusCode code) {
  const absl::StatusOr<Loaded> loaded = Load(path);
  EXPECT_EQ(loaded.status().code(), code) << loaded.status();
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(path));
  return std::string(loaded.status().message());
}

struct Maps {
  int all = 0;
  int islands = 0;  // pages of them: executable, and of no file
};
Maps CountMaps() {
  Maps maps;
  VisitMappings([&](const Mapping& mapping) {
    ++maps.all;
    maps.islands += mapping.executable && mapping.path.empty() &&
                    mapping.high - mapping.low >= 0x10000;
    return true;
  });
  return maps;
}

void Stay(void* stay) { (*static_cast<const Inside::Stay*>(stay))(); }

TEST(NearTest, IsANearObjectLikeAnyOther) {
  const int islands = CountMaps().islands;
  absl::StatusOr<Loaded> tens = Apply(Built("tens"));
  ASSERT_TRUE(tens.ok()) << tens.status();
  EXPECT_EQ(near_count_pointer(), &near_count);
  const int before = near_count();
  EXPECT_EQ(near_count(), before + 10);
  EXPECT_EQ(near_count_pointer()(), before + 20);
  EXPECT_EQ(CountMaps().islands, islands);

  const std::uintptr_t base = tens->module->load_base();
  const auto program = reinterpret_cast<std::uintptr_t>(&near_count);
  EXPECT_LT(base, program);
  EXPECT_LT(program - base, kReach);
  // By the dynamic linker, and by our own tables.
  const std::uint64_t new_entry =
      base + tens->module->file().image().FindDefined("near_count")->st_value;
  Dl_info info = {};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(new_entry), &info), 0);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(info.dli_fbase), base);
  EXPECT_STREQ(info.dli_sname, "near_count");
  const absl::StatusOr<Function> function = Function::AtEntry(new_entry);
  ASSERT_TRUE(function.ok()) << function.status();
  EXPECT_EQ(function->name(), "near_count");
  EXPECT_EQ(function->load_base(), base);
  EXPECT_THAT(std::string(function->image()), HasSubstr("tens"));

  EXPECT_TRUE(tens->update->Undo({}).ok());
  EXPECT_EQ(Step(), 1);
  EXPECT_TRUE(tens->update->Apply({}).ok());
  EXPECT_EQ(Step(), 10);
  EXPECT_TRUE(tens->update->Undo({}).ok());
  EXPECT_EQ(Step(), 1);
}

// What gdb says to these commands when it is attached to this process; empty if
// there is none, or none that may be attached.
std::string Gdb(const std::string& commands) {
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  const std::string command =
      absl::StrCat("gdb --batch --nx -p ", getpid(), " ", commands,
                   " -ex 'echo done\\n' 2>&1 </dev/null");
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::string output;
  char buffer[4096];
  std::size_t size;
  while ((size = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0) {
    output.append(buffer, size);
  }
  pclose(pipe);
  return absl::StrContains(output, "done") ? output : "";
}

TEST(NearTest, DebuggersSeeWhereThreadsAreInIt) {
  absl::StatusOr<Loaded> tens = Apply(Built("tens"));
  ASSERT_TRUE(tens.ok()) << tens.status();
  const int count = near_count();
  int result = 0;
  Inside inside([&](const Inside::Stay& stay) {
    result = near_wait(&Stay, const_cast<Inside::Stay*>(&stay));
  });
  const std::string said =
      Gdb("-ex 'thread apply all backtrace' -ex 'info line near_tens' "
          "-ex 'print near_tens_counted > 0' "
          "-ex 'print near_counter_as_seen_here'");
  inside.Leave();
  EXPECT_EQ(result, 2);
  EXPECT_TRUE(tens->update->Undo({}).ok());
  if (said.empty()) GTEST_SKIP() << "no gdb that can be attached here";
  EXPECT_THAT(said, testing::ContainsRegex(
                        "near_wait [(]stay=.*argument=.*near_test/tens[.]c:"));
  EXPECT_THAT(said, HasSubstr("starts at address"));
  EXPECT_THAT(said, HasSubstr("$1 = 1"));
  EXPECT_THAT(said, HasSubstr(absl::StrCat("$2 = ", count)));
}

// One whose file is to have a name.
TEST(NearTest, ItsFileHasAName) {
  std::string folder = "/tmp/instar-near-XXXXXX";
  ASSERT_NE(mkdtemp(&folder[0]), nullptr);
  const absl::StatusOr<ModuleFile> file = ReadModuleFile(Built("tens_bfd"));
  ASSERT_TRUE(file.ok()) << file.status();
  LoadOptions options;
  options.path_begin =
      manager_internal::KeptFilePrefix(folder, "shop", getpid());
  std::string path;
  {
    absl::StatusOr<LoadedModule> module = LoadModule(*file, options);
    ASSERT_TRUE(module.ok()) << module.status();
    path = module->kept_path();
    EXPECT_EQ(path.rfind(options.path_begin + "tens_bfd", 0), 0u) << path;
    Dl_info info = {};
    ASSERT_NE(dladdr(reinterpret_cast<void*>(module->load_base()), &info), 0);
    EXPECT_EQ(info.dli_fname, path);
    EXPECT_EQ(access(path.c_str(), R_OK), 0);
  }
  EXPECT_NE(access(path.c_str(), R_OK), 0);  // it has been unloaded
  {
    // Where none can be made, it is loaded nevertheless.
    options.path_begin = folder + "/nowhere/";
    absl::StatusOr<LoadedModule> module = LoadModule(*file, options);
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_EQ(module->kept_path(), "");
  }
  // One of a process that has crashed, and is gone for long.
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  ASSERT_EQ(waitpid(gone, nullptr, 0), gone);
  const std::string left =
      manager_internal::KeptFilePrefix(folder, "shop", gone) + "x.so";
  close(open(left.c_str(), O_CREAT | O_WRONLY, 0600));
  manager_internal::RemoveLeftFiles(folder);
  EXPECT_EQ(access(left.c_str(), R_OK), 0);
  const timespec long_ago[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, left.c_str(), long_ago, 0), 0);
  manager_internal::RemoveLeftFiles(folder);
  EXPECT_NE(access(left.c_str(), R_OK), 0);
  EXPECT_EQ(rmdir(folder.c_str()), 0);
}

TEST(NearTest, HoweverItWasLinked) {
  for (const char* const name : {"tens_bfd", "tens_big_pages", "tens_packed"}) {
    absl::StatusOr<Loaded> tens = Apply(Built(name));
    ASSERT_TRUE(tens.ok()) << name << ": " << tens.status();
    EXPECT_EQ(Step(), 10) << name;
    EXPECT_TRUE(tens->update->Undo({}).ok());
    EXPECT_EQ(Step(), 1);
  }
}

TEST(NearTest, OneComesOnTopOfAnother) {
  EXPECT_THAT(Refusal(Built("hundreds"), StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("made for the state after tens.so"),
                    HasSubstr("load that one first")));
  for (int round = 0; round < 3; ++round) {
    absl::StatusOr<Loaded> tens = Apply(Built("tens"));
    ASSERT_TRUE(tens.ok()) << tens.status();
    EXPECT_EQ(Step(), 10);
    absl::StatusOr<Loaded> hundreds = Apply(Built("hundreds"));
    ASSERT_TRUE(hundreds.ok()) << hundreds.status();
    EXPECT_EQ(Step(), 100);
    EXPECT_TRUE(hundreds->update->Undo({}).ok());
    EXPECT_EQ(Step(), 10);
    EXPECT_TRUE(hundreds->update->Apply({}).ok());
    EXPECT_EQ(Step(), 100);
    EXPECT_TRUE(hundreds->update->Undo({}).ok());
    EXPECT_TRUE(tens->update->Undo({}).ok());
    EXPECT_EQ(Step(), 1);
  }
  // What is loaded, and not applied, will not do.
  EXPECT_THAT(Refusal(Built("hundreds"), StatusCode::kFailedPrecondition),
              HasSubstr("is not applied"));
}

TEST(NearTest, RefusesWhatDoesNotFit) {
  EXPECT_THAT(Refusal(Built("outside"), StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("near_nothing is to lie at 0x7f000000"),
                    HasSubstr("make the module again")));
  EXPECT_THAT(Refusal(Built("other_program"), StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("it changes libshop.so (build 0123456789ab)"),
                    HasSubstr("for the build that runs")));
}

TEST(NearTest, ExceptionsPassThroughIt) {
  absl::StatusOr<Loaded> throwing = Apply(Built("throwing"));
  ASSERT_TRUE(throwing.ok()) << throwing.status();
  near_hook_calls = 0;
  EXPECT_EQ(near_check(-5), 5);  // thrown and caught in it
  std::string caught;
  try {
    near_check(3);
  } catch (const std::runtime_error& error) {
    caught = error.what();
  }
  EXPECT_EQ(caught, "the new version");
  EXPECT_EQ(near_hook_calls, 2);
  EXPECT_TRUE(throwing->update->Undo({}).ok());
  EXPECT_EQ(near_check(3), 3);
}

TEST(NearTest, FunctionsThatNeedNotBeQuiescentChangeUnderTheirThreads) {
  int result = 0;
  Inside inside([&](const Inside::Stay& stay) {
    result = near_wait(&Stay, const_cast<Inside::Stay*>(&stay));
  });
  absl::StatusOr<Loaded> tens = Apply(Built("tens"));
  ASSERT_TRUE(tens.ok()) << tens.status();
  inside.Leave();
  EXPECT_EQ(result, 1);
  const Inside::Stay nothing = [] {};
  EXPECT_EQ(near_wait(&Stay, const_cast<Inside::Stay*>(&nothing)), 2);
  EXPECT_TRUE(tens->update->Undo({}).ok());
}

TEST(NearTest, OthersAreWaitedFor) {
  for (const char* const module :
       {"tens_when_quiescent", "tens_only_watching"}) {
    int result = 0;
    Inside inside([&](const Inside::Stay& stay) {
      result = near_wait(&Stay, const_cast<Inside::Stay*>(&stay));
    });
    absl::StatusOr<Loaded> tens = Load(Built(module));
    ASSERT_TRUE(tens.ok()) << tens.status();
    tens->module->KeepLoaded();
    // On a busy machine an attempt may end before it has seen the thread.
    ApplyOptions soon;
    soon.timeout = milliseconds(100);
    absl::Status status = tens->update->Apply(soon);
    for (int i = 0; i < 100 && absl::IsDeadlineExceeded(status) &&
                    !absl::StrContains(status.message(), "near_wait");
         ++i) {
      status = tens->update->Apply(soon);
    }
    EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("near_wait"));
    EXPECT_EQ(Step(), 1);
    inside.Leave();
    EXPECT_EQ(result, 1);
    EXPECT_TRUE(tens->update->Apply({}).ok());
    EXPECT_EQ(Step(), 10);
    EXPECT_TRUE(tens->update->Undo({}).ok());
  }
}

TEST(NearTest, ThreadsThatCallMeanwhileSeeOneOrTheOther) {
  absl::StatusOr<Loaded> tens = Load(Built("tens"));
  ASSERT_TRUE(tens.ok()) << tens.status();
  tens->module->KeepLoaded();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        // Ends the program where one function is new and what it uses is not.
        for (int n = 0; n < 1000; ++n) near_count();
        std::this_thread::yield();
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(tens->update->Apply({}).ok()) << i;
    ASSERT_TRUE(tens->update->Undo({}).ok()) << i;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Step(), 1);
}

// Another thread takes the place that was free, again and again.
int thefts;
std::vector<void*> stolen;

TEST(NearTest, AnotherPlaceIsChosenIfOneIsTaken) {
  thefts = 3;
  manager_internal::between_choice_and_load_for_test = [](std::uintptr_t base) {
    if (thefts-- <= 0) return;
    void* const at =
        mmap(reinterpret_cast<void*>(base), 4096, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ASSERT_EQ(at, reinterpret_cast<void*>(base));
    stolen.push_back(at);
  };
  absl::StatusOr<Loaded> tens = Apply(Built("tens_when_quiescent"));
  manager_internal::between_choice_and_load_for_test = nullptr;
  ASSERT_TRUE(tens.ok()) << tens.status();
  EXPECT_EQ(stolen.size(), 3u);
  EXPECT_EQ(Step(), 10);
  EXPECT_TRUE(tens->update->Undo({}).ok());
  for (void* const at : stolen) munmap(at, 4096);
}

TEST(NearTest, ATheftThatNeverEndsIsAnError) {
  manager_internal::between_choice_and_load_for_test = [](std::uintptr_t base) {
    stolen.push_back(mmap(reinterpret_cast<void*>(base), 4096, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  };
  stolen.clear();
  const absl::StatusOr<Loaded> tens = Load(Built("hooks"));
  manager_internal::between_choice_and_load_for_test = nullptr;
  EXPECT_EQ(tens.status().code(), StatusCode::kAborted) << tens.status();
  EXPECT_THAT(std::string(tens.status().message()), HasSubstr("try again"));
  for (void* const at : stolen) munmap(at, 4096);
}

TEST(NearTest, AThousandLoadsLeaveNothing) {
  ASSERT_TRUE(Load(Built("throwing")).ok());
  const int before = CountMaps().all;
  for (int i = 0; i < 1000; ++i) {
    const absl::StatusOr<Loaded> loaded = Load(Built("throwing"));
    ASSERT_TRUE(loaded.ok()) << i << ": " << loaded.status();
  }
  EXPECT_LE(CountMaps().all, before + 20);  // the allocator's
}

TEST(NearTest, AuthorsHooksAreCalled) {
  near_hook_calls = 0;
  absl::StatusOr<Loaded> hooks = Apply(Built("hooks"));
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  EXPECT_EQ(near_hook_calls, 123);
  EXPECT_EQ(near_check(1), 1001);
  ASSERT_TRUE(hooks->update->Undo({}).ok());
  EXPECT_EQ(near_hook_calls, 12345);
  EXPECT_EQ(near_check(1), 1);

  ApplyOptions soon;
  soon.timeout = milliseconds(20);
  near_hook_calls = -1;
  absl::Status status = hooks->update->Apply(soon);
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("instar_generated_until()"));
  near_hook_calls = 7;
  status = hooks->update->Apply({});
  EXPECT_THAT(std::string(status.message()), HasSubstr("before says no"));
  EXPECT_EQ(near_hook_calls, 71);
  near_hook_calls = 8;
  status = hooks->update->Apply({});
  EXPECT_THAT(std::string(status.message()), HasSubstr("after says no"));
  EXPECT_EQ(near_hook_calls, 8125);
  EXPECT_EQ(near_check(1), 1);
}

}  // namespace
}  // namespace instar

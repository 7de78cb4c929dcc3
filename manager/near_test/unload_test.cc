// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Modules that are unloaded once nothing leads into them.

#include <dlfcn.h>
#include <setjmp.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/testing/cleared_stacks.h"
#include "base/testing/inside.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/module/elf_image.h"
#include "manager/module/kept_file.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/module_unloader.h"
#include "manager/module/module_update.h"
#include "manager/near_test/counting.h"
#include "manager/near_test/loading.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

// Time enough, also on a busy machine.
UnloadOptions Options() {
  UnloadOptions options;
  options.longest_hold = std::chrono::seconds(60);
  return options;
}

UnloadReport Unload(const std::string& update) {
  ClearStack();
  const absl::StatusOr<UnloadReport> report = UnloadModules(update, Options());
  EXPECT_TRUE(report.ok()) << report.status();
  return report.value_or(UnloadReport());
}

bool IsLoaded(std::uintptr_t address) {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(address), &info) != 0;
}

class UnloadTest : public ::testing::Test {
 protected:
  // Loads and applies a module, and undoes its update.
  void SetUp() override {
    if (!ListKeptModules().empty()) {
      const UnloadReport before = Unload("tens");
      for (const KeptReport& kept : before.kept) FAIL() << kept.because;
    }
    absl::StatusOr<Loaded> tens = Apply(Built("tens_when_quiescent"));
    ASSERT_TRUE(tens.ok()) << tens.status();
    EXPECT_EQ(Step(), 10);
    ASSERT_TRUE(tens->update->Undo({}).ok());
    EXPECT_EQ(Step(), 1);
    hidden_ =
        ~(tens->module->load_base() +
          tens->module->file().image().FindDefined("near_count")->st_value);
  }

  // That of the module.
  std::uintptr_t new_count() const { return ~hidden_; }

  __attribute__((noinline)) void Plant(volatile std::uintptr_t* at) const {
    *at = new_count();
  }
  // As PTR_MANGLE of glibc.
  __attribute__((noinline)) void PlantForJump(long* at) const {
    std::uintptr_t address = new_count();
    asm("xorq %%fs:0x30, %0\n\t"
        "rolq $17, %0"
        : "+r"(address)
        :
        : "cc");
    *at = static_cast<long>(address);
  }

  void ExpectKept(const std::string& where) {
    const UnloadReport report = Unload("tens");
    EXPECT_EQ(report.unloaded, 0u);
    ASSERT_EQ(report.kept.size(), 1u);
    EXPECT_THAT(
        report.kept[0].because,
        AllOf(HasSubstr("something leads to near_count"), HasSubstr(where)));
    EXPECT_TRUE(IsLoaded(new_count()));
    EXPECT_THAT(ListKeptModules(),
                ElementsAre(AllOf(
                    Field(&KeptReport::update, "tens"),
                    Field(&KeptReport::because, report.kept[0].because))));
  }
  void ExpectUnloaded() {
    const UnloadReport report = Unload("tens");
    ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
    EXPECT_EQ(report.unloaded, 1u);
    EXPECT_FALSE(IsLoaded(new_count()));
    EXPECT_THAT(ListKeptModules(), IsEmpty());
  }

  std::uintptr_t hidden_ = 0;  // this object itself is on the heap
};

TEST_F(UnloadTest, AndLoadedAgain) {
  ExpectUnloaded();
  EXPECT_EQ(UnloadModules("tens", Options()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Step(), 1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_NO_FATAL_FAILURE(SetUp());
    ExpectUnloaded();
  }
}

TEST_F(UnloadTest, NotWhileItIsApplied) {
  absl::StatusOr<Loaded> tens = Apply(Built("tens_when_quiescent"));
  ASSERT_TRUE(tens.ok()) << tens.status();
  const absl::Status refused = UnloadModules("tens", Options()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("update 'tens' is applied, or about to be; undo it"));
  EXPECT_EQ(Step(), 10);
  EXPECT_TRUE(tens->update->Undo({}).ok());
}

TEST_F(UnloadTest, AfterThoseThatGoOnFromIt) {
  {
    absl::StatusOr<Loaded> tens = Apply(Built("tens"));
    ASSERT_TRUE(tens.ok()) << tens.status();
    absl::StatusOr<Loaded> hundreds = Apply(Built("hundreds"));
    ASSERT_TRUE(hundreds.ok()) << hundreds.status();
    EXPECT_EQ(Step(), 100);
    EXPECT_TRUE(hundreds->update->Undo({}).ok());
    hundreds->update.reset();
    EXPECT_TRUE(tens->update->Undo({}).ok());
  }
  // One of the two, the other one nobody goes on from.
  UnloadReport report = Unload("tens");
  EXPECT_EQ(report.unloaded, 1u);
  ASSERT_EQ(report.kept.size(), 1u);
  EXPECT_THAT(report.kept[0].because,
              HasSubstr("update 'hundreds', which goes on from it, is loaded"));
  report = Unload("hundreds");
  ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
  report = Unload("tens");
  ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
  EXPECT_EQ(report.unloaded, 1u);
}

// One that is loaded, and not applied yet, is bound to it, too.
TEST_F(UnloadTest, NotBeforeOneThatIsAboutToGoOnFromIt) {
  ExpectUnloaded();
  {
    absl::StatusOr<Loaded> tens = Apply(Built("tens"));
    ASSERT_TRUE(tens.ok()) << tens.status();
    const absl::StatusOr<ModuleFile> file = ReadModuleFile(Built("hundreds"));
    ASSERT_TRUE(file.ok()) << file.status();
    absl::StatusOr<LoadedModule> hundreds = LoadModule(*file);
    ASSERT_TRUE(hundreds.ok()) << hundreds.status();
    EXPECT_TRUE(tens->update->Undo({}).ok());
    *tens = Loaded();
    const absl::Status refused = UnloadModules("tens", Options()).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(
        std::string(refused.message()),
        HasSubstr("update 'hundreds', which goes on from update 'tens', is "
                  "applied, or about to be"));
  }
  const UnloadReport report = Unload("tens");
  ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
  EXPECT_EQ(report.unloaded, 1u);
}

TEST_F(UnloadTest, APointerKeepsIt) {
  const auto pointer = std::make_unique<volatile std::uintptr_t>();
  Plant(pointer.get());
  ExpectKept("at 0x");
  *pointer = 0;
  ExpectUnloaded();
}

void Stay(void* stay) { (*static_cast<const Inside::Stay*>(stay))(); }

TEST_F(UnloadTest, AThreadInsideOfItKeepsIt) {
  ExpectUnloaded();
  absl::StatusOr<Loaded> tens = Apply(Built("tens_bfd"));
  ASSERT_TRUE(tens.ok()) << tens.status();
  Inside inside([](const Inside::Stay& stay) {
    near_wait(&Stay, const_cast<Inside::Stay*>(&stay));
    ClearStack();
  });
  EXPECT_TRUE(tens->update->Undo({}).ok());
  *tens = Loaded();
  UnloadReport report = Unload("tens");
  ASSERT_EQ(report.kept.size(), 1u);
  EXPECT_THAT(report.kept[0].because,
              AllOf(HasSubstr("something leads to near_wait"),
                    HasSubstr("the stack or a thread_local variable of")));
  inside.Leave();
  ClearEndedStacks();
  report = Unload("tens");
  ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
}

using Pausing = Continulet<int(int)>;

void Pause(void* self) { static_cast<Pausing::Self*>(self)->Switch(1); }

TEST_F(UnloadTest, AContinuletInsideOfItKeepsIt) {
  ExpectUnloaded();
  absl::StatusOr<Loaded> tens = Apply(Built("tens_bfd"));
  ASSERT_TRUE(tens.ok()) << tens.status();
  Pausing inside("inside", [](Pausing::Self& self, int) {
    const int result = near_wait(&Pause, &self);
    ClearStack<8192>();
    return result;
  });
  EXPECT_EQ(inside.Switch(0), 1);
  EXPECT_TRUE(tens->update->Undo({}).ok());
  *tens = Loaded();
  UnloadReport report = Unload("tens");
  ASSERT_EQ(report.kept.size(), 1u);
  EXPECT_THAT(report.kept[0].because,
              HasSubstr("something leads to near_wait"));
  EXPECT_EQ(inside.Switch(0), 2);
  report = Unload("tens");
  ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
}

extern "C" int __cxa_thread_atexit_impl(void (*function)(void*), void* object,
                                        void* image);
extern "C" char __dso_handle;

TEST_F(UnloadTest, WhatIsCalledAtTheEndOfAThreadKeepsIt) {
  Inside inside([this](const Inside::Stay& stay) {
    EXPECT_EQ(
        __cxa_thread_atexit_impl(reinterpret_cast<void (*)(void*)>(new_count()),
                                 nullptr, &__dso_handle),
        0);
    ClearStack();
    stay();
  });
  ExpectKept("a destructor of a thread_local variable");
  inside.Leave();
  ClearEndedStacks();
  ExpectUnloaded();
}

// Where it is about to be called by longjmp().
TEST_F(UnloadTest, AJumpKeepsIt) {
  const auto buffer = std::make_unique<__jmp_buf_tag>();
  EXPECT_EQ(setjmp(buffer.get()), 0);
  // As setjmp() writes the address of the function that has called it.
  PlantForJump(&buffer->__jmpbuf[7]);
  ExpectKept("setjmp()");
  buffer->__jmpbuf[7] = 0;
  ExpectUnloaded();
}

TEST_F(UnloadTest, AHandleKeepsIt) {
  UnloadReport report = ListKeptModules().size() == 1
                            ? UnloadReport{"", 0, ListKeptModules()}
                            : UnloadReport();
  ASSERT_EQ(report.kept.size(), 1u);
  void* const handle =
      dlopen(report.kept[0].module.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  ASSERT_NE(handle, nullptr);
  report = Unload("tens");
  EXPECT_EQ(report.unloaded, 0u);
  ASSERT_EQ(report.kept.size(), 1u);
  EXPECT_THAT(report.kept[0].because, HasSubstr("the dynamic linker keeps it"));
  EXPECT_TRUE(IsLoaded(new_count()));
  // Another one is loaded, not this one used again.
  {
    absl::StatusOr<Loaded> tens = Apply(Built("tens_when_quiescent"));
    ASSERT_TRUE(tens.ok()) << tens.status();
    dlclose(handle);
    EXPECT_FALSE(IsLoaded(new_count()));
    EXPECT_EQ(Step(), 10);
    EXPECT_TRUE(tens->update->Undo({}).ok());
  }
  report = Unload("tens");
  EXPECT_EQ(report.unloaded, 2u);
  ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
}

// Threads run through the functions meanwhile.
TEST_F(UnloadTest, WhileItsFunctionsWereInUse) {
  std::atomic<bool> leave{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!leave) near_count();
    });
  }
  for (int i = 0; i < 10; ++i) {
    absl::StatusOr<Loaded> tens = Apply(Built("tens_when_quiescent"));
    ASSERT_TRUE(tens.ok()) << tens.status();
    EXPECT_TRUE(tens->update->Undo({}).ok());
    *tens = Loaded();
    Unload("tens");
  }
  leave = true;
  for (std::thread& thread : threads) thread.join();
  ClearEndedStacks();
  if (!ListKeptModules().empty()) {
    const UnloadReport report = Unload("tens");
    ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
  }
}

TEST_F(UnloadTest, NoLongerThanItMayHoldThreads) {
  UnloadOptions options;
  options.longest_hold = std::chrono::nanoseconds(1);
  const absl::StatusOr<UnloadReport> report = UnloadModules("tens", options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->kept.size(), 1u);
  EXPECT_THAT(report->kept[0].because, HasSubstr("would have to be held for"));
  ExpectUnloaded();
}

TEST_F(UnloadTest, ItsFileGoes) {
  ExpectUnloaded();
  std::string folder = "/tmp/instar-unload-XXXXXX";
  ASSERT_NE(mkdtemp(&folder[0]), nullptr);
  std::string path;
  {
    const absl::StatusOr<ModuleFile> file = ReadModuleFile(Built("tens"));
    ASSERT_TRUE(file.ok()) << file.status();
    LoadOptions options;
    options.path_begin =
        manager_internal::KeptFilePrefix(folder, "shop", getpid());
    absl::StatusOr<LoadedModule> module = LoadModule(*file, options);
    ASSERT_TRUE(module.ok()) << module.status();
    module->KeepLoaded();
    path = module->kept_path();
  }
  EXPECT_EQ(access(path.c_str(), R_OK), 0) << path;
  const UnloadReport report = Unload("tens");
  ASSERT_EQ(report.kept.size(), 0u) << report.kept[0].because;
  EXPECT_NE(access(path.c_str(), R_OK), 0) << path;
  EXPECT_EQ(rmdir(folder.c_str()), 0);
}

// The last one: it stays until the process ends, which calls it.
TEST_F(UnloadTest, WhatIsCalledAtTheEndKeepsIt) {
  ASSERT_EQ(std::atexit(reinterpret_cast<void (*)()>(new_count())), 0);
  ExpectKept("atexit()");
}

}  // namespace
}  // namespace instar

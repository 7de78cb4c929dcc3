// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the manager says of the program itself, and that a program which has
// changed its user since can be updated.

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/testing/child_process.h"
#include "base/testing/eventually.h"
#include "base/testing/other_user.h"
#include "code/portable/needs_entries_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/manager.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using updates_test::Price;

int NewPrice(int article) { return 1000 + article; }

std::unique_ptr<Update> Prices() {
  UpdatePlan plan("prices");
  plan.Redefine(Price, &NewPrice);
  return MakeUpdate(std::move(plan));
}

class ManagerRemarksTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/instar-manager-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    setenv("INSTAR_SOCKET_DIRECTORY", path, 1);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

// The manager disarms the entry behind its answer, which writes the same byte.
void AwaitItsJump() {
  constexpr unsigned char kJump = 0xE9;
  ASSERT_TRUE(Eventually([] {
    return *reinterpret_cast<const volatile unsigned char*>(&Price) == kJump;
  }));
}

// As the kernel does for a uprobe.
void WriteFirstByteOfPrice(char byte) {
  const int file = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  ASSERT_EQ(pwrite(file, &byte, 1, reinterpret_cast<intptr_t>(&Price)), 1);
  close(file);
}

// The manager looks once a second, and tells nobody.
bool AwaitRemark(const Manager& manager, absl::string_view text) {
  return Eventually([&] {
    for (const std::string& remark : manager.Status().remarks) {
      if (absl::StrContains(remark, text)) return true;
    }
    return false;
  });
}

TEST_F(ManagerRemarksTest, ProbeOnARedirectedFunctionIsShownAndOutlived) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  auto manager = Manager::Start();
  ASSERT_TRUE(manager.ok()) << manager.status();
  const auto applied = manager->Apply(Prices());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(Price(1), 1001);
  AwaitItsJump();
  WriteFirstByteOfPrice('\xCC');
  ASSERT_TRUE(AwaitRemark(*manager, "Price(int) runs old code"));
  WriteFirstByteOfPrice('\x0F');
  ASSERT_TRUE(AwaitRemark(*manager, "Price(int) ran old code for a while"));
  EXPECT_EQ(Price(1), 1001);
  const auto undone = manager->Undo();
  EXPECT_TRUE(undone.ok()) << undone.status();
  EXPECT_EQ(Price(1), 101);
}

// In a process of its own, which cannot become what it was.
int UpdateAsNobody() {
  auto manager = Manager::Start();
  if (!manager.ok()) return 2;
  std::atomic<bool> stop{false};
  int code = 0;
  {
    const ControlledThread thread = StartPassiveThread("looping", [&stop] {
      while (!stop) UpdatePoint();
    });
    while (thread.state() == ThreadState::kNew) std::this_thread::yield();
    if (!BecomeNobody()) {
      code = 3;
    } else if (open("/proc/self/mem", O_RDWR | O_CLOEXEC) >= 0) {
      code = 4;
    } else if (const auto applied = manager->Apply(Prices()); !applied.ok()) {
      fprintf(stderr, "%s\n", applied.status().ToString().c_str());
      code = 5;
    } else if (Price(1) != 1001 || !manager->Undo().ok() || Price(1) != 101) {
      code = 6;
    }
    stop = true;
  }
  return code;
}

TEST_F(ManagerRemarksTest, ProgramThatDroppedItsPrivilegesIsUpdated) {
  if (!CanBecomeNobody()) GTEST_SKIP() << "it cannot become somebody else";
  EXPECT_EQ(InAChild(&UpdateAsNobody), 0);
}

}  // namespace
}  // namespace instar

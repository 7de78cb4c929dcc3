// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/module_update.h"
#include "threads/controlled_thread.h"
#include "tools/loop_update_points/module_test/counter.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

void AwaitVersion(int version) {
  while (counter::begun != version) std::this_thread::yield();
}

TEST(LoopUpdatePointsTest, ModuleBringsALoopWithPoints) {
  ApplyOptions patiently;
  patiently.timeout = std::chrono::seconds(60);
  ControlledThread thread =
      StartActiveThread("counter", [] { counter::CountForEver(); });
  AwaitVersion(1);
  const auto file =
      ReadModuleFile("tools/loop_update_points/module_test/count_twice.so");
  ASSERT_TRUE(file.ok()) << file.status();
  auto module = LoadModule(*file);
  ASSERT_TRUE(module.ok()) << module.status();
  absl::StatusOr<std::unique_ptr<Update>> update = MakeUpdate(*module);
  ASSERT_TRUE(update.ok()) << update.status();
  module->KeepLoaded();
  absl::Status status = (*update)->Apply(patiently);
  ASSERT_TRUE(status.ok()) << status;
  AwaitVersion(2);
  status = (*update)->Undo(patiently);
  ASSERT_TRUE(status.ok()) << status;
  AwaitVersion(1);

  UpdatePlan end("end");
  end.Reboot("counter", [] { counter::begun = 0; });
  const auto ends = MakeUpdate(std::move(end));
  status = ends->Apply(patiently);
  ASSERT_TRUE(status.ok()) << status;
  AwaitVersion(0);
}

}  // namespace
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Status() beside the worker, which applies and undoes: run it under
// ThreadSanitizer and AddressSanitizer.

#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "manager/manager.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Shelf : Updatable<Shelf> {
  int places = 3;
};
struct ShelfV2 : Shelf {
  explicit ShelfV2(Shelf&& old) noexcept : Shelf(std::move(old)) {}
};

// As an author may write it: with state that nothing guards, since all of it
// is said to be called by one thread.
class Unguarded final : public Mechanism {
 public:
  std::string name() const override { return "unguarded"; }
  Attempt Apply(const StoppedWorld&) override {
    why_not_.clear();
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld&) override {
    why_not_ = "it is undone, as this sentence of some length says";
    return Attempt::Done();
  }
  absl::Status CanUndo() const override {
    return why_not_.empty() ? absl::OkStatus()
                            : absl::FailedPreconditionError(why_not_);
  }
  absl::Status Prepare(UpdateForecast&) override { return absl::OkStatus(); }

 private:
  std::string why_not_;
};

TEST(ManagerStatusTest, IsAnsweredWhileUpdatesComeAndGo) {
  char directory[] = "/tmp/instar-status-test-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  setenv("INSTAR_SOCKET_DIRECTORY", directory, 1);
  {
    absl::StatusOr<Manager> manager = Manager::Start();
    ASSERT_TRUE(manager.ok()) << manager.status();
    std::vector<std::unique_ptr<Shelf>> shelves;
    for (int i = 0; i < 100; ++i) shelves.push_back(std::make_unique<Shelf>());

    std::atomic<bool> has_ended{false};
    std::atomic<int> rounds{0};
    std::atomic<int> answers{0};
    std::thread asking([&] {
      while (!has_ended) {
        const StatusReport status = manager->Status();
        EXPECT_LE(status.applied.size(), 1u);
        for (const ObjectCounts& counts : status.classes) {
          EXPECT_LE(counts.Total(), 100u) << counts.class_name;
        }
        ++answers;
      }
    });
    while (answers == 0) std::this_thread::yield();
    for (int i = 0; i < 150; ++i) {
      UpdatePlan plan(absl::StrCat("round", i));
      plan.ConvertEagerly<Shelf, ShelfV2>();
      plan.StartPassiveThread("started", [] {
        while (true) UpdatePoint();
      });
      plan.Add(std::make_shared<Unguarded>());
      const auto applied = manager->Apply(MakeUpdate(std::move(plan)));
      ASSERT_TRUE(applied.ok()) << applied.status();
      if (i == 0) {
        const StatusReport status = manager->Status();
        ASSERT_EQ(status.applied.size(), 1u);
        EXPECT_THAT(status.applied[0].lost_by_undo,
                    ElementsAre(HasSubstr("what only objects of the new"),
                                HasSubstr("thread 'started'")));
      }
      const auto undone = manager->Undo();
      ASSERT_TRUE(undone.ok()) << undone.status();
      ++rounds;
    }
    has_ended = true;
    asking.join();
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How an author tests an update: its function is called, and applied to threads
// of the test (updates/testing/update_fixture.h). No manager, no module.

#include <cstddef>
#include <mutex>
#include <string>
#include <utility>

#include "examples/ratings.h"
#include "examples/site_manager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/weak_object_pool.h"
#include "updates/testing/update_fixture.h"

namespace site_manager {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string Command(const std::string& command) {
  std::lock_guard<std::mutex> lock(company.lock);
  return DoCommand(command);
}

class AddRatingsTest : public instar::UpdateFixture {
 protected:
  AddRatingsTest() { FillCompany(1000000); }
  ~AddRatingsTest() override { company.sites.clear(); }
};

TEST_F(AddRatingsTest, ProductsAreRated) {
  StartThread("socket", [] { Command("order 1 chair Brest"); });
  StartThread(
      "site_manager",
      [] {
        std::lock_guard<std::mutex> lock(company.lock);
        for (const auto& site : company.sites) StringOf(*site);
      },
      instar::ThreadKind::kActive);
  EXPECT_THAT(Command("rate 4 lamp Nantes"), StartsWith("unknown command"));
  Make("ratings", &AddRatings);
  for (int i = 0; i < 3; ++i) {
    Apply();
    AwaitSteps();
    EXPECT_EQ(Command("rate 4 lamp Nantes"),
              "rated: lamp has 4.0 of 1 vote, Nantes 4.0");
    EXPECT_EQ(Command("rate 3 lamp Nantes"),
              "rated: lamp has 3.5 of 2 votes, Nantes 3.5");
    EXPECT_THAT(Command("rate 6 lamp Nantes"), HasSubstr("from 0 to 5"));
    EXPECT_THAT(Command("order 1 lamp Nantes"), StartsWith("ordered 1 lamp"));
    Undo();  // the marks are gone
    EXPECT_THAT(Command("rate 4 lamp Nantes"), StartsWith("unknown command"));
  }
}

// PyMoult (HotSWUP'13), section 2.3: sites at once, products when they are
// used.
TEST_F(AddRatingsTest, EagerlyAndLazily) {
  const auto counts = [] {
    return std::make_pair(instar::WeakObjectPool<Site>().Counts().OfVersion(
                              "site_manager::SiteV2"),
                          instar::WeakObjectPool<Product>().Counts().OfVersion(
                              "site_manager::ProductV2"));
  };
  Make("ratings", &AddRatings);
  Apply();
  EXPECT_EQ(counts(), std::make_pair(std::size_t{2}, std::size_t{0}));
  Command("rate 4 lamp Nantes");
  EXPECT_EQ(counts(), std::make_pair(std::size_t{2}, std::size_t{1}));
  Undo();
  EXPECT_EQ(counts(), std::make_pair(std::size_t{0}, std::size_t{0}));
}

}  // namespace
}  // namespace site_manager

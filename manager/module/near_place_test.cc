// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/near_place.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace manager_internal {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::uintptr_t kGiB = std::uintptr_t{1} << 30;
constexpr std::uintptr_t kProgram = 100 * kGiB;
constexpr AddressRange kImage = {kProgram, kProgram + 0x100000};
constexpr Room kRoom = {0x3000, 4096};

std::uintptr_t Choose(const std::vector<AddressRange>& free,
                      const std::vector<AddressRange>& near = {kImage},
                      Room room = kRoom,
                      const std::vector<AddressRange>& taken = {}) {
  return ChoosePlace(free, near, room, taken);
}

TEST(NearPlaceTest, RightBelowTheProgram) {
  EXPECT_EQ(Choose({{0x10000, kProgram}, {kImage.end, 200 * kGiB}}),
            kProgram - 0x10000);
  // The next one lies below that one.
  EXPECT_EQ(Choose({{0x10000, kProgram - 0x10000},
                    {kProgram - 0xd000, kProgram},
                    {kImage.end, 200 * kGiB}}),
            kProgram - 0x20000);
}

TEST(NearPlaceTest, ElseAsHighAboveItAsItReaches) {
  const std::uintptr_t place = Choose({{kImage.end, 200 * kGiB}});
  EXPECT_GT(place, kProgram + 2 * kGiB - (2 << 20));
  EXPECT_LT(place + kRoom.size, kProgram + 2 * kGiB);
  EXPECT_EQ(place % 0x10000, 0u);
}

TEST(NearPlaceTest, WithinReachOfAll) {
  // An earlier module lies 1.5 GiB above, another image as far below.
  const AddressRange above = {kProgram + kGiB + kGiB / 2,
                              kProgram + kGiB + kGiB / 2 + 0x5000};
  const std::vector<AddressRange> free = {{0x10000, kProgram - kGiB / 2 - 1},
                                          {kImage.end, above.begin},
                                          {above.end, 200 * kGiB}};
  const std::uintptr_t place = Choose(free, {kImage, above});
  EXPECT_GT(place, kProgram);
  EXPECT_LT(place, kProgram + 2 * kGiB);
  EXPECT_EQ(Choose(free, {kImage, {kProgram + 3 * kGiB, kProgram + 4 * kGiB}}),
            0u);
}

TEST(NearPlaceTest, NotWhereSomebodyHasBeen) {
  const std::vector<AddressRange> free = {{kProgram - 0x40000, kProgram}};
  const std::uintptr_t first = Choose(free);
  EXPECT_EQ(first, kProgram - 0x10000);
  const std::uintptr_t second =
      Choose(free, {kImage}, kRoom, {{first, first + kRoom.size}});
  EXPECT_EQ(second, kProgram - 0x20000);
  EXPECT_EQ(Choose(free, {kImage}, kRoom, {{0, kProgram}}), 0u);
}

TEST(NearPlaceTest, AlignedAsItAsks) {
  const Room room = {0x3000, 1 << 21};
  const std::uintptr_t place = Choose({{0x10000, kProgram}}, {kImage}, room);
  EXPECT_EQ(place % (1 << 21), 0u);
  EXPECT_NE(place, 0u);
}

TEST(NearPlaceTest, ThereMayBeNone) {
  EXPECT_EQ(Choose({}), 0u);
  EXPECT_EQ(Choose({{kProgram - 0x2000, kProgram}}), 0u);
  EXPECT_EQ(Choose({{0x10000, kProgram - 3 * kGiB}}), 0u);
}

TEST(NearPlaceTest, TheProgramItselfHasRoom) {
  const std::vector<AddressRange> free = FreeRanges();
  const auto here = reinterpret_cast<std::uintptr_t>(&kImage);
  const std::uintptr_t place = ChoosePlace(free, {{here, here + 1}}, kRoom, {});
  EXPECT_NE(place, 0u);
}

TEST(NearPlaceTest, AnOldDynamicLinkerIsNamedWithTheRemedy) {
  EXPECT_THAT(std::string(WishNotTaken("2.31").message()),
              AllOf(HasSubstr("glibc 2.31"), HasSubstr("-no-pie"),
                    HasSubstr("LD_USE_LOAD_BIAS=1")));
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar

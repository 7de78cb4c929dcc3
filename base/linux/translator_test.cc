// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/translator.h"

#include <unistd.h>

#include <climits>
#include <cstdint>
#include <string>

#include "base/linux/maps.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

void Here() {}

// qemu tells of itself nowhere else than in the program that it is.
TEST(TranslatorTest, IsFoundWhereThereIsOne) {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/thread-self/exe", path, sizeof(path));
  ASSERT_GT(length, 0);
  const std::string program(path, static_cast<std::size_t>(length));
  EXPECT_EQ(IsTranslated(), program.find("/qemu-") != std::string::npos)
      << program;
}

TEST(TranslatorTest, TheProgramsOwnFileIsFound) {
  char path[PATH_MAX];
  const ssize_t length = readlink(OwnProgramLink(), path, sizeof(path));
  ASSERT_GT(length, 0);
  const std::string program(path, static_cast<std::size_t>(length));
  EXPECT_NE(program.find("translator_test"), std::string::npos) << program;
}

TEST(TranslatorTest, TheProgramsOwnMappingsAreFound) {
  const auto here = reinterpret_cast<std::uintptr_t>(&Here);
  bool is_code = false;
  EXPECT_TRUE(VisitMappings([&](const Mapping& mapping) {
    is_code |= mapping.Contains(here) && mapping.executable;
    return true;
  }));
  EXPECT_TRUE(is_code);
}

}  // namespace
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/sha256.h"

#include <cstdio>
#include <string>

#include "gtest/gtest.h"

namespace instar {
namespace {

// NIST, "Examples with Intermediate Values", SHA-256, and the test vectors of
// its validation system.
TEST(Sha256Test, AnswersWhatTheStandardDoes) {
  EXPECT_EQ(Sha256(""),
            "e3b0c44298fc1c149afbf4c8996fb924"
            "27ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223"
            "b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039"
            "a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67"
            "f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, OfAFileTheSameFromItsStart) {
  const std::string text(200000, 'x');
  std::FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file), text.size());
  ASSERT_EQ(std::fflush(file), 0);
  EXPECT_EQ(Sha256OfFile(fileno(file)).value(), Sha256(text));
  std::fclose(file);
  EXPECT_FALSE(Sha256OfFile(-1).ok());
}

}  // namespace
}  // namespace instar

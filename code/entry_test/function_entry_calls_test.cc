// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a call hands over and gets back survives a redirection.

#include <string>
#include <thread>
#include <utility>

#include "code/function_entry.h"
#include "code/updatable_functions_for_test.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using namespace code_test;  // NOLINT: the functions under test

// A redirection for the duration of a scope.
class Redirected {
 public:
  template <typename F>
  Redirected(F* from, F* to) : redirection_(*Redirect(from, to)) {}
  ~Redirected() { EXPECT_TRUE(redirection_.Undo().ok()); }

 private:
  Redirection redirection_;
};

double CallMany() {
  return Many(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10.5, 11.5, 12.5, 13.5, 14.5, 15.5,
              16.5, 17.5, 18.5);
}

TEST(RedirectedCallTest, EightIntegersAndTenDoubles) {
  const double before = CallMany();
  Redirected redirected(&Many, &Many2);
  EXPECT_EQ(CallMany(), -before);
}

TEST(RedirectedCallTest, StructInRegistersAndInMemory) {
  Redirected small(&PassSmall, &PassSmall2);
  Redirected large(&PassLarge, &PassLarge2);
  EXPECT_EQ(PassSmall({1, 2.5}).b, 4.5);
  Large values = {};
  for (int i = 0; i < 20; ++i) values.values[i] = i;
  const Large result = PassLarge(values);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(result.values[i], i + 2);
}

TEST(RedirectedCallTest, Variadic) {
  Redirected redirected(&SumVariadic, &SumVariadic2);
  EXPECT_EQ(SumVariadic(6, 1, 1.0, 2, 2.0, 3, 3.0, 4, 4.0, 5, 5.0, 6, 6.0),
            -42);
}

// The caller may not keep in a register what the first version leaves alone.
TEST(RedirectedCallTest, FileLocalFunctionWritesAFileLocalVariable) {
  EXPECT_EQ(NotedAround(5), 5);
  Redirected redirected(FileLocalEntry(), &FileLocal2);
  EXPECT_EQ(NotedAround(5), -6);
}

__attribute__((target("avx2"))) bool VectorsAreSubtracted() {
  const __m256i a = _mm256_set_epi64x(10, 20, 30, 40);
  const __m256i b = _mm256_set_epi64x(1, 2, 3, 4);
  alignas(32) long long result[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(result), AddVectors(a, b));
  return result[0] == 36 && result[1] == 27 && result[2] == 18 &&
         result[3] == 9;
}

TEST(RedirectedCallTest, Vectors) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 here";
  EXPECT_FALSE(VectorsAreSubtracted());
  Redirected redirected(&AddVectors, &SubtractVectors);
  EXPECT_TRUE(VectorsAreSubtracted());
}

TEST(RedirectedCallTest, RedZone) {
  const int64_t before = RedZone(5);
  Redirected redirected(&RedZone, &RedZone2);
  EXPECT_EQ(RedZone(5), -before);
}

TEST(RedirectedCallTest, RecursionRedirectedWhileDeep) {
  EXPECT_EQ(Depth(100, -1, nullptr), 100);
  {
    std::vector<Redirection> redirections;
    // Activations 100 to 60 were entered before, the other 60 after.
    const int depth = Depth(100, 60, [&redirections] {
      redirections.push_back(*Redirect(&Depth, &Depth2));
    });
    EXPECT_EQ(depth, 41 + 59 * 1000);
    EXPECT_TRUE(redirections.back().Undo().ok());
  }
  EXPECT_EQ(Depth(100, -1, nullptr), 100);
}

TEST(RedirectedCallTest, ExceptionsPass) {
  Redirected redirected(&Throw, &Throw2);
  try {
    Throw(7);
    FAIL();
  } catch (const Thrown& thrown) {
    EXPECT_EQ(thrown.value, -7);
  }
}

TEST(RedirectedCallTest, ThreadLocalVariables) {
  ThreadLocal() = 1;
  Redirected redirected(&ThreadLocal, &ThreadLocal2);
  EXPECT_EQ(ThreadLocal(), 11);
  int in_other_thread = -1;
  std::thread([&] { in_other_thread = ThreadLocal(); }).join();
  EXPECT_EQ(in_other_thread, 10);
}

TEST(RedirectedCallTest, PointersTakenBefore) {
  int (*volatile pointer)(int) = &Answer;
  const std::function<int(int)> wrapped = &Answer;
  Redirected redirected(&Answer, &Answer2);
  EXPECT_EQ(pointer(1), 201);
  EXPECT_EQ(wrapped(1), 201);
}

}  // namespace
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/entry_interception.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/child_process.h"
#include "base/testing/hammer.h"
#include "code/function_entry.h"
#include "code/internal/text_patch.h"
#include "code/program_text_for_test.h"
#include "code/symbols/function.h"
#include "code/updatable_functions_for_test.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using namespace code_test;  // NOLINT: the functions under test

template <typename F>
uintptr_t Address(F* function) {
  return reinterpret_cast<uintptr_t>(function);
}

EntryInterception OfAll() {
  auto interception = EntryInterception::OfAll();
  EXPECT_TRUE(interception.ok()) << interception.status();
  return *std::move(interception);
}

// What a test's own calls enter, in order.
class Entered {
 public:
  Entered()
      : interceptor_([this](const InterceptedEntry& entry) {
          functions_.push_back(entry.function());
        }) {}
  int Count(uintptr_t function) const {
    return static_cast<int>(
        std::count(functions_.begin(), functions_.end(), function));
  }
  int size() const { return static_cast<int>(functions_.size()); }

 private:
  std::vector<uintptr_t> functions_;
  ScopedEntryInterceptor interceptor_;
};

TEST(EntryInterceptionTest, EachEntryCallsTheInterceptorUntilItEnds) {
  Entered entered;
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(entered.size(), 0);
  {
    EntryInterception interception = OfAll();
    EXPECT_GT(interception.size(), 10u);
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(Answer(2), 102);
    EXPECT_EQ(entered.Count(Address(&Answer)), 2);
  }
  const int before = entered.size();
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(entered.size(), before);
}

TEST(EntryInterceptionTest, ProgramIsByteForByteAsBefore) {
  const std::string before = ProgramText();
  {
    EntryInterception all = OfAll();
    EXPECT_NE(ProgramText(), before);
    EntryInterception some = *EntryInterception::Of({*Function::Of(&Answer)});
    ASSERT_TRUE(all.Stop().ok());
    EXPECT_NE(ProgramText(), before);
  }
  EXPECT_TRUE(ProgramText() == before);
}

TEST(EntryInterceptionTest, GivenSetOnly) {
  Entered entered;
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Answer2)});
  EXPECT_EQ(interception.size(), 1u);
  Answer(1);
  Answer2(1);
  EXPECT_EQ(entered.Count(Address(&Answer)), 0);
  EXPECT_EQ(entered.Count(Address(&Answer2)), 1);
}

TEST(EntryInterceptionTest, UnsuitableFunctionsAreRefused) {
  EXPECT_EQ(
      EntryInterception::Of({*Function::Of(&NotUpdatable)}).status().code(),
      absl::StatusCode::kFailedPrecondition);
}

TEST(EntryInterceptionTest, CalledWhileItsWordIsSet) {
  std::atomic<uint32_t> wanted{0};
  int calls = 0;
  ScopedEntryInterceptor interceptor(
      [&calls](const InterceptedEntry&) { ++calls; }, &wanted);
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Answer)});
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(calls, 0);
  wanted = 4;
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(calls, 1);
  {
    Entered inner;  // has no word
    wanted = 0;
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(inner.Count(Address(&Answer)), 1);
  }
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(calls, 1);
}

std::atomic<int> kept{0};
std::atomic<bool> gate_waits{false};

void Keep(const InterceptedEntry& entry) {
  EXPECT_EQ(entry.function(), Address(&Answer));
  ++kept;
  while (gate_waits) std::this_thread::yield();
}
void OtherGate(const InterceptedEntry&) {}

TEST(EntryInterceptionTest, GateIsCalledByEveryThread) {
  kept = 0;
  Entered entered;
  {
    EntryInterception interception =
        *EntryInterception::WithGate({*Function::Of(&Answer)}, &Keep);
    EXPECT_EQ(Answer(1), 101);
    std::thread([] { EXPECT_EQ(Answer(2), 102); }).join();
    EXPECT_EQ(kept, 2);
    EXPECT_EQ(EntryInterception::WithGate({*Function::Of(&Answer)}, &OtherGate)
                  .status()
                  .code(),
              absl::StatusCode::kFailedPrecondition);
    // The interceptor may throw, and not every function may.
    EXPECT_EQ(entered.size(), 0);
    EntryInterception all = OfAll();
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(entered.Count(Address(&Answer)), 1);
    EXPECT_EQ(kept, 3);
  }
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(kept, 3);
  EXPECT_EQ(entered.Count(Address(&Answer)), 1);
}

TEST(EntryInterceptionTest, WhoWaitsInAGateGoesOnInTheNewVersion) {
  kept = 0;
  gate_waits = true;
  auto interception =
      EntryInterception::WithGate({*Function::Of(&Answer)}, &Keep);
  ASSERT_TRUE(interception.ok()) << interception.status();
  int answer = 0;
  std::thread thread([&answer] { answer = Answer(1); });
  while (kept == 0) std::this_thread::yield();
  auto redirection = Redirect(&Answer, &Answer2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  gate_waits = false;
  thread.join();
  EXPECT_EQ(answer, 201);
  ASSERT_TRUE(interception->Stop().ok());
  EXPECT_EQ(Answer(1), 201);
  ASSERT_TRUE(redirection->Undo().ok());
  EXPECT_EQ(Answer(1), 101);
}

TEST(EntryInterceptionTest, EachThreadHasItsOwn) {
  Entered entered;
  EntryInterception interception = OfAll();
  std::thread([] {
    EXPECT_EQ(Answer(1), 101);
    Entered in_thread;
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(in_thread.Count(Address(&Answer)), 1);
  }).join();
  EXPECT_EQ(entered.Count(Address(&Answer)), 0);
}

TEST(EntryInterceptionTest, NoRecursionIntoTheInterceptor) {
  int calls = 0;
  ScopedEntryInterceptor interceptor([&calls](const InterceptedEntry&) {
    ++calls;
    EXPECT_EQ(Answer2(1), 201);
  });
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Answer), *Function::Of(&Answer2)});
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(calls, 1);
}

TEST(EntryInterceptionTest, CallerIsWhereTheCallReturns) {
  CallerRegisters caller = {};
  uintptr_t function = 0;
  ScopedEntryInterceptor interceptor([&](const InterceptedEntry& entry) {
    function = entry.function();
    caller = entry.caller();
  });
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Answer)});
  int destroyed = 0;
  EXPECT_EQ(CallWithCleanup(&destroyed), 102);
  EXPECT_EQ(function, Address(&Answer));
  const auto in = Function::Containing(caller.return_address - 1);
  ASSERT_TRUE(in.ok()) << in.status();
  EXPECT_EQ(in->entry(), Address(&CallWithCleanup));
  // Frame pointers are kept in updatable code.
  EXPECT_GT(caller.frame_pointer, caller.stack_pointer - 1);
}

TEST(EntryInterceptionTest, ExceptionUnwindsTheCaller) {
  int destroyed = 0;
  int calls = 0;
  ScopedEntryInterceptor interceptor([&calls](const InterceptedEntry&) {
    if (++calls == 1000) throw Thrown{42};
  });
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Answer)});
  try {
    LoopForEver(&destroyed);
    FAIL();
  } catch (const Thrown& thrown) {
    EXPECT_EQ(thrown.value, 42);
  }
  EXPECT_EQ(destroyed, 1);
  // And the interceptor is called again.
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(calls, 1001);
}

TEST(EntryInterceptionTest, ExceptionsOfTheFunctionPass) {
  Entered entered;
  EntryInterception interception = OfAll();
  EXPECT_THROW(Throw(1), Thrown);
  EXPECT_EQ(entered.Count(Address(&Throw)), 1);
}

// Leaves nothing in any vector register as it was.
__attribute__((noinline)) void Trash() {
  if (__builtin_cpu_supports("avx512f")) {
    asm volatile(
        "vpternlogd $0xff, %%zmm0, %%zmm0, %%zmm0\n\t"
        "vmovdqa64 %%zmm0, %%zmm1\n\t"
        "vmovdqa64 %%zmm0, %%zmm2\n\t"
        "vmovdqa64 %%zmm0, %%zmm7\n\t"
        "vmovdqa64 %%zmm0, %%zmm16\n\t" ::
            : "xmm0", "xmm1", "xmm2", "xmm7");
  } else if (__builtin_cpu_supports("avx2")) {
    asm volatile(
        "vpcmpeqd %%ymm0, %%ymm0, %%ymm0\n\t"
        "vmovdqa %%ymm0, %%ymm1\n\t"
        "vmovdqa %%ymm0, %%ymm2\n\t"
        "vmovdqa %%ymm0, %%ymm7\n\t" ::
            : "xmm0", "xmm1", "xmm2", "xmm7");
  }
  volatile double x = 1.5;
  x = x * x;
  errno = EBADF;
}

TEST(EntryInterceptionTest, ParametersOfAllKindsSurvive) {
  const double many = Many(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10.5, 11.5, 12.5, 13.5,
                           14.5, 15.5, 16.5, 17.5, 18.5);
  int calls = 0;
  ScopedEntryInterceptor interceptor([&calls](const InterceptedEntry&) {
    ++calls;
    Trash();
  });
  EntryInterception interception = OfAll();
  EXPECT_EQ(Many(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10.5, 11.5, 12.5, 13.5, 14.5,
                 15.5, 16.5, 17.5, 18.5),
            many);
  EXPECT_EQ(PassSmall({1, 2.5}).b, 3.5);
  Large large = {};
  EXPECT_EQ(PassLarge(large).values[19], 1);
  EXPECT_EQ(SumVariadic(3, 1, 1.0, 2, 2.0, 3, 3.0), 12);
  EXPECT_EQ(RedZone(5), 68);
  EXPECT_EQ(Depth(50, -1, nullptr), 50);
  errno = ENOENT;
  Answer(1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_GE(calls, 57);
}

__attribute__((target("avx2"))) void ExpectVectorsSurvive() {
  const __m256i a = _mm256_set_epi64x(10, 20, 30, 40);
  const __m256i b = _mm256_set_epi64x(1, 2, 3, 4);
  alignas(32) long long sum[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(sum), AddVectors(a, b));
  EXPECT_THAT(sum, testing::ElementsAre(44, 33, 22, 11));
}

__attribute__((target("avx512f"))) void ExpectWideVectorsSurvive() {
  const __m512i a = _mm512_set_epi64(10, 20, 30, 40, 50, 60, 70, 80);
  const __m512i b = _mm512_set_epi64(1, 2, 3, 4, 5, 6, 7, 8);
  alignas(64) long long sum[8];
  _mm512_store_si512(sum, AddWide(a, b));
  EXPECT_THAT(sum, testing::ElementsAre(88, 77, 66, 55, 44, 33, 22, 11));
}

TEST(EntryInterceptionTest, VectorsSurvive) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 here";
  int calls = 0;
  ScopedEntryInterceptor interceptor([&calls](const InterceptedEntry&) {
    ++calls;
    Trash();
  });
  EntryInterception interception = OfAll();
  ExpectVectorsSurvive();
  EXPECT_EQ(calls, 1);
  if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "no AVX-512 here";
  ExpectWideVectorsSurvive();
  EXPECT_EQ(calls, 2);
}

TEST(EntryInterceptionTest, FunctionRedirectedMeanwhileBeginsInItsNewVersion) {
  std::vector<Redirection> redirections;
  ScopedEntryInterceptor interceptor([&](const InterceptedEntry&) {
    if (redirections.empty()) {
      redirections.push_back(*Redirect(&Answer, &Answer2));
    }
  });
  {
    EntryInterception interception =
        *EntryInterception::Of({*Function::Of(&Answer)});
    EXPECT_EQ(Answer(1), 201);
    EXPECT_EQ(Answer(1), 201);
  }
  EXPECT_EQ(Answer(1), 201);
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Answer)});
  EXPECT_TRUE(redirections.back().Undo().ok());
  EXPECT_EQ(Answer(1), 101);
}

int g_result_in_handler = 0;
void CallInHandler(int) { g_result_in_handler = Answer(5); }

TEST(EntryInterceptionTest, SignalHandlerIsNoUpdatePoint) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer calls handlers later, from its own code";
#endif
  Entered entered;
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = &CallInHandler;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  EntryInterception interception = OfAll();
  raise(SIGUSR1);
  EXPECT_EQ(g_result_in_handler, 105);
  EXPECT_EQ(entered.Count(Address(&Answer)), 0);
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST(EntryInterceptionTest, NothingIsInterceptedInAChild) {
  Entered entered;
  const std::string before = ProgramText();
  EntryInterception interception = OfAll();
  EXPECT_EQ(InAChild([&] {
              if (Answer(1) != 101 || entered.size() != 0) return 1;
              if (ProgramText() != before) return 2;
              if (!interception.Stop().ok()) return 3;
              return ProgramText() == before ? 0 : 4;
            }),
            0);
  EXPECT_NE(ProgramText(), before);
  Answer(1);
  EXPECT_EQ(entered.Count(Address(&Answer)), 1);
}

// Lets the write of this number fail, counted from 0.
int g_writes = 0, g_failing_write = 0;

ssize_t FailOnce(int file, const void* bytes, size_t size, uintptr_t address) {
  if (g_writes++ == g_failing_write) {
    errno = EIO;
    return -1;
  }
  return code_internal::ScopedTextPatchCalls::Real().write_at(file, bytes, size,
                                                              address);
}

// Does `change` with one write after the other failing, until none is left to
// fail; each time, what failed must have changed nothing.
template <typename F>
void FailEachWrite(F change) {
  const std::string before = ProgramText();
  for (g_failing_write = 0;; ++g_failing_write) {
    ASSERT_LT(g_failing_write, 1000);
    g_writes = 0;
    const code_internal::ScopedTextPatchCalls faults(
        {&FailOnce, code_internal::ScopedTextPatchCalls::Real().serialize});
    const absl::Status status = change();
    if (status.ok()) break;
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
    EXPECT_EQ(ProgramText(), before);
    EXPECT_EQ(Answer(1), 101);
  }
  // One probe at least, and one write of each of three phases.
  EXPECT_GE(g_failing_write, 4);
  EXPECT_NE(ProgramText(), before);
}

TEST(EntryInterceptionTest, FailingWritesAreUndone) {
  Hammer hammer(1, [] { EXPECT_EQ(Answer(1), 101); });
  Entered entered;
  const std::string before = ProgramText();
  std::vector<EntryInterception> interceptions;
  FailEachWrite([&interceptions] {
    auto interception = EntryInterception::OfAll();
    if (interception.ok()) interceptions.push_back(*std::move(interception));
    return interception.status();
  });
  ASSERT_EQ(interceptions.size(), 1u);
  EXPECT_EQ(entered.Count(Address(&Answer)), 0);
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(entered.Count(Address(&Answer)), 1);

  FailEachWrite([&interceptions] { return interceptions[0].Stop(); });
  EXPECT_EQ(ProgramText(), before);
}

TEST(EntryInterceptionTest, SmallestStackOfAContinulet) {
  Entered entered;
  EntryInterception interception = OfAll();
  using Body = Continulet<int(int)>;
  int destroyed = 0;
  Body body(
      "small",
      [&destroyed](Body::Self&, int a) {
        return Answer(a) + CallWithCleanup(&destroyed);
      },
      kMinimumStackSize);
  EXPECT_EQ(body.Switch(5), 105 + 102);
  EXPECT_EQ(entered.Count(Address(&Answer)), 2);
  EXPECT_EQ(destroyed, 1);
}

TEST(EntryInterceptionTest, ArmedAndRedirectedUnderLoad) {
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0}, intercepted{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      const ScopedEntryInterceptor interceptor(
          [&intercepted](const InterceptedEntry&) { ++intercepted; });
      for (int i = thread; !stop; i = (i + 1) & 63) {
        const int result = Answer(i);
        if (result != 100 + i && result != 200 + i) ++wrong;
      }
    });
  }
  for (int i = 0; i < 500 || intercepted == 0; ++i) {
    EntryInterception interception = OfAll();
    Redirection redirection = *Redirect(&Answer, &Answer2);
    ASSERT_TRUE(interception.Stop().ok());
    ASSERT_TRUE(redirection.Undo().ok());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace instar

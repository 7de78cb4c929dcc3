// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/layout_judge.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/comparison.h"
#include "tools/differ/debug_answers.h"
#include "tools/differ/dwarf/compile_for_test.h"
#include "tools/differ/findings.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two builds of one source file.
class Builds {
 public:
  Builds(const std::string& was, const std::string& is,
         absl::string_view suffix, absl::string_view flags)
      : old_object_(Compile(was, suffix, flags)),
        new_object_(Compile(is, suffix, flags)),
        debug_({}),
        comparison_({{old_object_.get(), new_object_.get()}},
                    debug_.Questions()) {}

  const Unit* Find(absl::string_view end_of_name) const {
    for (const auto& unit : new_object_->units()) {
      if (absl::EndsWith(unit->name, end_of_name)) return unit.get();
    }
    return nullptr;
  }

  std::vector<std::string> Refusals(const std::set<std::string>& allowed = {}) {
    Findings findings = comparison_.findings();
    debug_.CheckCompilers(comparison_.pairs(), findings);
    JudgeLayouts(comparison_, allowed, {}, debug_, findings);
    return Of(Severity::kRefusal, findings);
  }

  std::vector<std::string> Notes() {
    return Of(Severity::kNote, comparison_.findings());
  }

 private:
  static std::unique_ptr<Object> Compile(const std::string& source,
                                         absl::string_view suffix,
                                         absl::string_view flags) {
    const auto path = CompileForTest(source, suffix, flags);
    EXPECT_TRUE(path.ok()) << path.status();
    if (!path.ok()) return nullptr;
    auto object = Object::Read(*path, "shop.o");
    EXPECT_TRUE(object.ok()) << object.status();
    return object.ok() ? *std::move(object) : nullptr;
  }

  static std::vector<std::string> Of(Severity severity,
                                     const Findings& findings) {
    std::vector<std::string> messages;
    for (const Finding& finding : findings.all()) {
      if (finding.severity == severity) messages.push_back(finding.message);
    }
    return messages;
  }

  std::unique_ptr<Object> old_object_;
  std::unique_ptr<Object> new_object_;
  DebugAnswers debug_;
  Comparison comparison_;
};

TEST(LayoutJudgeTest, AVariableOfAnotherTypeIsRefused) {
  const std::string use = " int f(int n) { return (int)(total += n); }";
  for (const char* flags : {"-O0 -g", "-O2 -g"}) {
    EXPECT_THAT(Builds("static int total;" + use, "static float total;" + use,
                       ".c", flags)
                    .Refusals(),
                Contains(HasSubstr("variable total was int, is float")));
    EXPECT_THAT(Builds("static int total;" + use,
                       "static unsigned total;" + use, ".c", flags)
                    .Refusals(),
                IsEmpty());
  }
}

TEST(LayoutJudgeTest, AStructurePassedByValueIsRefused) {
  const std::string use =
      " __attribute__((noinline)) int Cost(struct order o) { return o.a; }"
      " int f(int n) { struct order o = {n}; return Cost(o); }";
  Builds builds("struct order { int a; };" + use,
                "struct order { int a; long b[4]; };" + use, ".c", "-O2 -g");
  EXPECT_THAT(builds.Refusals(), Contains(HasSubstr("struct order")));
  EXPECT_THAT(builds.Refusals({"order"}), IsEmpty());
}

TEST(LayoutJudgeTest, ObjectsWithoutTypesAreRefused) {
  EXPECT_THAT(Builds("int f(int n) { return n; }",
                     "int f(int n) { return n + 1; }", ".c", "-O2 -g1")
                  .Refusals(),
              Contains(AllOf(HasSubstr("-g1"), HasSubstr("with -g"))));
}

constexpr char kTask[] = R"(
  #include <coroutine>
  struct Task {
    struct promise_type {
      Task get_return_object() {
        return {std::coroutine_handle<promise_type>::from_promise(*this)};
      }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_always final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() {}
      std::suspend_always yield_value(int) { return {}; }
    };
    std::coroutine_handle<promise_type> handle;
  };
  void Use(int);
  )";

// Suspended coroutines finish in their version, whatever of it has changed.
TEST(CoroutineComparisonTest, ThePartsOfAFrameAreNotRedirected) {
  const std::string same = " Task Same(int n) { co_yield n; Use(n); }";
  for (const char* flags : {"-std=c++20 -O0 -g", "-std=c++20 -O2 -g"}) {
    for (const std::string body :
         {"co_yield n; Use(2 * n);", "co_yield n; Use(n); co_yield n;",
          "long m = n; co_yield n; Use(n); Use((int)m);"}) {
      Builds builds(kTask + same + " Task Serve(int n) { co_yield n; Use(n); }",
                    kTask + same + " Task Serve(int n) { " + body + " }", ".cc",
                    flags);
      const Unit* const actor = builds.Find("_Z5Servei.Frame.actor");
      ASSERT_NE(actor, nullptr);
      EXPECT_EQ(actor->status, UnitStatus::kNew);
      EXPECT_EQ(actor->old, nullptr);
      const Unit* const ramp = builds.Find("_Z5Servei");
      ASSERT_NE(ramp, nullptr);
      EXPECT_EQ(ramp->status, UnitStatus::kChanged);
      const Unit* const other = builds.Find("_Z4Samei.Frame.actor");
      ASSERT_NE(other, nullptr);
      EXPECT_EQ(other->status, UnitStatus::kSame) << other->why;
      EXPECT_THAT(builds.Refusals(), IsEmpty());
      EXPECT_THAT(builds.Notes(), Contains(HasSubstr("finish in the version")));
    }
  }
}

}  // namespace
}  // namespace differ
}  // namespace instar

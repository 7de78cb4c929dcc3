// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program whose debug information was taken away, with the list of its
// inlined copies, which was made before: its argument.

#include "code/symbols/inlining/inlined_copy_list.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/testing/file_contents.h"
#include "code/function_entry.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/symbols/function.h"
#include "code/symbols/inlining/tariff_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string list;

int NewTotalElsewhere(int amount) { return -2 * amount; }

EntryRedirection To(int (*from)(int), int (*to)(int)) {
  return {*Function::Of(from), reinterpret_cast<std::uintptr_t>(to)};
}

std::string Refusal(const std::string& text) {
  const absl::Status status = DeclareInlinedCopies(text);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(InlinedCopyListTest, ADamagedOneIsRefused) {
  EXPECT_THAT(Refusal(""), HasSubstr("line 1"));
  EXPECT_THAT(Refusal("instar inlined copies 2\n"), HasSubstr("the format"));
  EXPECT_THAT(Refusal("instar inlined copies 1\nbuild 12\n"),
              HasSubstr("build id"));
  EXPECT_THAT(Refusal(list.substr(0, list.rfind("end"))), HasSubstr("cut off"));
  EXPECT_THAT(Refusal(absl::StrCat(list, "copy f 1 2 3\n")),
              HasSubstr("after its end"));
  EXPECT_THAT(Refusal(absl::StrReplaceAll(list, {{"\nend ", "\nend 7"}})),
              HasSubstr("counts"));
  EXPECT_THAT(Refusal(absl::StrReplaceAll(list, {{"\ncopy ", "\ncopy f "}})),
              HasSubstr("line 3"));
}

// Neither a damaged list nor that of another build says anything.
TEST(InlinedCopyListTest, StandsInForDebugInformation) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const std::vector<EntryRedirection> rate = {
      To(tariff::RateItself(), &tariff::NewRate)};
  absl::Status status = Redirection::Prepare(rate).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("has no debug information"));

  const std::size_t digit = list.find("build-id ") + 9;
  std::string of_another_build = list;
  of_another_build[digit] = list[digit] == '0' ? '1' : '0';
  status = DeclareInlinedCopies(of_another_build);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("which is not loaded"),
                    HasSubstr(list.substr(digit, 40))));
  EXPECT_FALSE(Redirection::Prepare(rate).ok());

  status = DeclareInlinedCopies(list);
  ASSERT_TRUE(status.ok()) << status;
  status = Redirection::Prepare(rate).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("was inlined into"),
                    HasSubstr("tariff::TotalElsewhere(int)")));

  // With the function that holds its copy it changes.
  auto all = Redirection::Prepare(
      {rate[0], To(&tariff::TotalElsewhere, &NewTotalElsewhere)});
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_TRUE(all->Apply().ok());
  EXPECT_EQ(tariff::RateItself()(2), 10);
  EXPECT_EQ(tariff::TotalElsewhere(2), -4);
  EXPECT_TRUE(all->Undo().ok());
  EXPECT_EQ(tariff::RateItself()(2), 7);
}

}  // namespace
}  // namespace instar

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2) return 2;
  instar::list = instar::FileContents(argv[1]);
  return RUN_ALL_TESTS();
}

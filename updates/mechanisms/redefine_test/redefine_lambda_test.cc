// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Lambdas, redefined as far as their symbols tell where they are.

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/mechanisms/redefine_test/lambdas_for_test.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using updates_test::Server;

constexpr char kServer[] = "instar::updates_test::Server::";

// What the lambdas of OnRead() have captured.
struct Captured {
  Server* server;
  int size;
};

void NewApart(const void* lambda, int bytes) {
  const auto* captured = static_cast<const Captured*>(lambda);
  captured->server->seen -= captured->size + bytes;
}
void WithoutTheLambda(int) {}

absl::Status Refused(Redefinitions redefinitions) {
  return Change(Redefine(std::move(redefinitions))).Prepare();
}

TEST(RedefineLambdaTest, ByItsFunctionAndItsNumber) {
  Server server;
  server.OnRead(10);
  server.apart(3);
  EXPECT_EQ(server.seen, 30);
  Change change(Redefine(Redefinitions().AddNamed(
      std::string(kServer) + "OnRead(int)::{lambda(int)#2}", &NewApart)));
  const Attempt applied = change.Apply();
  ASSERT_TRUE(applied.is_done()) << applied.reason();
  server.apart(3);
  EXPECT_EQ(server.seen, 17);
  server.inlined(3);
  EXPECT_EQ(server.seen, 30);
  ASSERT_TRUE(change.Undo().is_done());
  server.apart(3);
  EXPECT_EQ(server.seen, 60);
}

TEST(RedefineLambdaTest, ItsParametersAreCompared) {
  const absl::Status status = Refused(Redefinitions().AddNamed(
      std::string(kServer) + "OnRead(int)::{lambda(int)#2}",
      &WithoutTheLambda));
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("of a lambda they are (void const*, int), with what it "
                        "has captured first"));
}

// Where it is has another signature, and is somebody else's.
TEST(RedefineLambdaTest, OneThatWasInlinedIsRefusedWithARemedy) {
  const absl::Status status = Refused(Redefinitions().AddNamed(
      std::string(kServer) + "OnRead(int)::{lambda(int)#1}", &NewApart));
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("Server::OnRead(int)::{lambda(int)#1} has no code of its "
                      "own: its body was inlined into what calls it, "),
            HasSubstr("::_M_invoke("),
            HasSubstr("; redefine the function that its body calls")));
}

TEST(RedefineLambdaTest, AHandlerOfAsioIsRefusedWithARemedy) {
  Server server;
  server.Post(4);
  EXPECT_EQ(server.seen, 4);
  const absl::Status status = Refused(Redefinitions().AddNamed(
      std::string(kServer) + "Post(int)::{lambda()#1}", &NewApart));
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("its body was inlined into what calls it, "),
                    HasSubstr("boost::asio::"), HasSubstr("do_complete("),
                    HasSubstr("; redefine the function that its body calls")));

  // Which is what helps.
  Change change(Redefine(
      &Server::Count, +[](Server* self, int bytes) { self->seen = -bytes; }));
  ASSERT_TRUE(change.Apply().is_done());
  server.Post(4);
  EXPECT_EQ(server.seen, -4);
  ASSERT_TRUE(change.Undo().is_done());
}

}  // namespace
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/own_descriptor.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/testing/child_process.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

int OpenMemory() { return open("/proc/self/mem", O_RDWR | O_CLOEXEC); }
int OpenNull() { return open("/dev/null", O_RDWR | O_CLOEXEC); }
int OpenEpoll() { return epoll_create1(EPOLL_CLOEXEC); }
int OpenEvent() { return eventfd(0, EFD_CLOEXEC); }
int OpenSocket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }

bool IsOpen(int number) { return fcntl(number, F_GETFD) >= 0; }

// Lets `number` stand for `other`, as a program does that closed everything.
void GiveAway(int number, int other) {
  ASSERT_GE(other, 0);
  ASSERT_EQ(dup2(other, number), number);
  close(other);
}

TEST(OwnDescriptor, IsNoneAtFirst) {
  OwnDescriptor none;
  EXPECT_EQ(none.number(), -1);
  EXPECT_FALSE(none.is_open());
  EXPECT_EQ(OwnDescriptor(-1).number(), -1);
}

TEST(OwnDescriptor, LiesAboveWhatProgramsUse) {
  const int low = OpenNull();
  const OwnDescriptor file(low);
  EXPECT_GE(file.number(), 900);
  EXPECT_FALSE(IsOpen(low));
  EXPECT_EQ(fcntl(file.number(), F_GETFD), FD_CLOEXEC);
}

TEST(OwnDescriptor, LiesBelowALowLimit) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const OwnDescriptor file(OpenNull());
  EXPECT_GE(file.number(), 40);
  EXPECT_LT(file.number(), 64);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(OwnDescriptor, StaysWhereItIsIfThereIsNoRoom) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int last = OpenNull();
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(last) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  {
    const OwnDescriptor file(last);
    EXPECT_EQ(file.number(), last);
  }
  EXPECT_FALSE(IsOpen(last));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

struct Case {
  const char* name;
  int (*open_ours)();
  int (*open_theirs)();
};

class GivenAway : public ::testing::TestWithParam<Case> {};

TEST_P(GivenAway, IsNotTakenForOurs) {
  OwnDescriptor file(GetParam().open_ours());
  const int number = file.number();
  ASSERT_GE(number, 0);
  GiveAway(number, GetParam().open_theirs());
  errno = 0;
  EXPECT_EQ(file.number(), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_TRUE(file.is_open());
  file.Close();
  EXPECT_TRUE(IsOpen(number)) << "somebody else's file was closed";
  EXPECT_FALSE(file.is_open());
  close(number);
}

// As two of our own may change places after the program closed both.
TEST_P(GivenAway, IsNotTakenForAnotherOneOfOurs) {
  OwnDescriptor file(GetParam().open_ours());
  const int number = file.number();
  OwnDescriptor other(GetParam().open_theirs());
  ASSERT_EQ(dup2(other.number(), number), number);
  EXPECT_EQ(file.number(), -1);
  EXPECT_GE(other.number(), 0);
  close(number);
}

TEST_P(GivenAway, IsOpenedAnew) {
  OwnDescriptor file(GetParam().open_ours());
  const int number = file.number();
  EXPECT_EQ(file.NumberOrOpen(GetParam().open_ours), number);
  GiveAway(number, GetParam().open_theirs());
  const int anew = file.NumberOrOpen(GetParam().open_ours);
  EXPECT_GE(anew, 900);
  EXPECT_NE(anew, number);
  EXPECT_EQ(file.number(), anew);
  EXPECT_TRUE(IsOpen(number));
  close(number);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, GivenAway,
    ::testing::Values(Case{"MemoryByNull", &OpenMemory, &OpenNull},
                      Case{"MemoryByMemory", &OpenMemory, &OpenMemory},
                      Case{"EpollByEpoll", &OpenEpoll, &OpenEpoll},
                      Case{"EpollByEvent", &OpenEpoll, &OpenEvent},
                      Case{"EventByEvent", &OpenEvent, &OpenEvent},
                      Case{"SocketBySocket", &OpenSocket, &OpenSocket},
                      Case{"NullByNull", &OpenNull, &OpenNull}),
    [](const auto& info) { return info.param.name; });

TEST(OwnDescriptor, IsOpenedAnewWhereItWasClosed) {
  OwnDescriptor file(OpenEvent());
  close(file.number());
  EXPECT_EQ(file.number(), -1);
  EXPECT_GE(file.NumberOrOpen(&OpenEvent), 900);
}

TEST(OwnDescriptor, SaysWhyItCannotBeOpened) {
  OwnDescriptor file;
  EXPECT_EQ(file.NumberOrOpen([] {
    errno = EACCES;
    return -1;
  }),
            -1);
  EXPECT_EQ(errno, EACCES);
  EXPECT_FALSE(file.is_open());
}

TEST(OwnDescriptor, IsClosedWithItsOwner) {
  int number;
  {
    const OwnDescriptor file(OpenNull());
    number = file.number();
  }
  EXPECT_FALSE(IsOpen(number));
}

TEST(OwnDescriptor, Moves) {
  OwnDescriptor file(OpenNull());
  const int number = file.number();
  OwnDescriptor other(std::move(file));
  EXPECT_EQ(other.number(), number);
  EXPECT_FALSE(file.is_open());
  file = std::move(other);
  EXPECT_EQ(file.number(), number);
  EXPECT_EQ(file.Release(), number);
  EXPECT_FALSE(file.is_open());
  EXPECT_TRUE(IsOpen(number));
  close(number);
}

TEST(OwnDescriptor, IsKnownInAChild) {
  OwnDescriptor file(OpenEpoll());
  EXPECT_EQ(InAChild([&] {
              const int number = file.number();
              file.Close();
              return number >= 0 && !IsOpen(number) ? 0 : 1;
            }),
            0);
  EXPECT_GE(file.number(), 0);
}

}  // namespace
}  // namespace instar

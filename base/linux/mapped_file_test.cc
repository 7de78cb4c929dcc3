// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "gtest/gtest.h"

namespace instar {
namespace {

constexpr size_t kSize = 64 * 1024;

// An open file of so many bytes, all of them 'x', that nobody else can open.
int MakeFile(size_t size) {
  std::string path = testing::TempDir() + "/mapped_file_XXXXXX";
  const int file = mkstemp(&path[0]);
  EXPECT_GE(file, 0);
  unlink(path.c_str());
  const std::string contents(size, 'x');
  EXPECT_EQ(write(file, contents.data(), size), static_cast<ssize_t>(size));
  return file;
}

long Count(const MappedFile& file) {
  return std::count(file.bytes().begin(), file.bytes().end(), 'x');
}

TEST(MappedFileTest, IsReadWhereItLies) {
  const int file = MakeFile(kSize);
  const TruncationGuard guard;
  const auto mapped = MappedFile::Of(file);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  close(file);
  EXPECT_EQ(Count(*mapped), static_cast<long>(kSize));
  EXPECT_FALSE(guard.has_hit());
}

TEST(MappedFileTest, WhatWasCutOffIsZeroAndNoticed) {
  const int file = MakeFile(kSize);
  sigset_t bus;
  sigemptyset(&bus);
  sigaddset(&bus, SIGBUS);
  pthread_sigmask(SIG_BLOCK, &bus, nullptr);
  {
    const TruncationGuard guard;
    const auto mapped = MappedFile::Of(file);
    ASSERT_TRUE(mapped.ok()) << mapped.status();
    ASSERT_EQ(ftruncate(file, 4096), 0);
    EXPECT_EQ(Count(*mapped), 4096);
    EXPECT_TRUE(guard.has_hit());
    const TruncationGuard another;
    EXPECT_FALSE(another.has_hit());
  }
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_TRUE(sigismember(&now, SIGBUS));
  pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
  close(file);
}

volatile sig_atomic_t handled = 0;

TEST(MappedFileTest, TheProgramsOwnHandlerIsAsBefore) {
  struct sigaction own {};
  own.sa_handler = [](int) { handled = handled + 1; };
  ASSERT_EQ(sigaction(SIGBUS, &own, nullptr), 0);
  {
    const TruncationGuard guard;
    raise(SIGBUS);
    EXPECT_EQ(handled, 1);
  }
  raise(SIGBUS);
  EXPECT_EQ(handled, 2);
  struct sigaction now {};
  ASSERT_EQ(sigaction(SIGBUS, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, own.sa_handler);
  signal(SIGBUS, SIG_DFL);
}

struct sigaction before_chained;

// Passes on what it gets, as libraries do that install a handler.
void Chained(int signal, siginfo_t* info, void* context) {
  handled = handled + 1;
  ASSERT_LT(handled, 10);
  if ((before_chained.sa_flags & SA_SIGINFO) != 0) {
    before_chained.sa_sigaction(signal, info, context);
  } else {
    before_chained.sa_handler(signal);
  }
}

// Each handler gets the signal once, however many guards come and go.
TEST(MappedFileTest, AHandlerThatLeadsToOursIsNotCalledForEver) {
  handled = 0;
  struct sigaction own {};
  own.sa_handler = [](int) { handled = handled + 100; };
  ASSERT_EQ(sigaction(SIGBUS, &own, nullptr), 0);
  struct sigaction chained {};
  chained.sa_sigaction = &Chained;
  chained.sa_flags = SA_SIGINFO | SA_NODEFER;
  {
    const TruncationGuard guard;
    ASSERT_EQ(sigaction(SIGBUS, &chained, &before_chained), 0);
    raise(SIGBUS);
    EXPECT_EQ(handled, 101);
  }
  for (int round = 0; round < 2; ++round) {
    {
      handled = 0;
      const TruncationGuard guard;
      raise(SIGBUS);
      EXPECT_EQ(handled, 101);
    }
    handled = 0;
    raise(SIGBUS);
    EXPECT_EQ(handled, 101);
  }
  signal(SIGBUS, SIG_DFL);
}

TEST(MappedFileTest, WithoutAGuardItIsASignal) {
  const int file = MakeFile(kSize);
  const auto mapped = MappedFile::Of(file);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  ASSERT_EQ(ftruncate(file, 4096), 0);
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_EXIT(Count(*mapped), testing::KilledBySignal(SIGBUS), "");
#endif
  close(file);
}

TEST(MappedFileTest, WhatIsNoFileIsRefused) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_FALSE(MappedFile::Of(ends[0]).ok());
  EXPECT_FALSE(MappedFile::Of(-1).ok());
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace instar

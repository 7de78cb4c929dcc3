// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/maps.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "absl/types/span.h"
#include "base/testing/child_process.h"
#include "base/testing/no_tracing.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

const std::size_t kPage = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

struct Found {
  int count = 0;
  Mapping mapping;
  std::string path;
};

Found Find(const void* address) {
  Found found;
  EXPECT_TRUE(VisitMappings([&](const Mapping& mapping) {
    if (!mapping.Contains(reinterpret_cast<std::uintptr_t>(address))) {
      return true;
    }
    ++found.count;
    found.mapping = mapping;
    found.path = std::string(mapping.path);
    return true;
  }));
  return found;
}

TEST(MapsTest, SaysHowMemoryMayBeUsed) {
  static int variable = 1;
  EXPECT_TRUE(Find(&variable).mapping.writable);
  EXPECT_FALSE(Find(&variable).mapping.executable);
  const Found code = Find(reinterpret_cast<const void*>(&Find));
  EXPECT_EQ(code.count, 1);
  EXPECT_TRUE(code.mapping.readable);
  EXPECT_TRUE(code.mapping.executable);
  EXPECT_FALSE(code.mapping.writable);
  EXPECT_FALSE(code.mapping.shared);
  void* const shared =
      mmap(nullptr, kPage, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  EXPECT_TRUE(Find(shared).mapping.shared);
  munmap(shared, kPage);
}

TEST(MapsTest, NamesTheFile) {
  std::string path = testing::TempDir() + "/maps_test_a name";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(ftruncate(file, static_cast<off_t>(2 * kPage)), 0);
  void* const memory = mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, file,
                            static_cast<off_t>(kPage));
  ASSERT_NE(memory, MAP_FAILED);
  struct stat status;
  ASSERT_EQ(fstat(file, &status), 0);
  const Found found = Find(memory);
  EXPECT_EQ(found.path.substr(found.path.rfind('/')), "/maps_test_a name");
  EXPECT_EQ(found.mapping.offset, kPage);
  EXPECT_EQ(found.mapping.inode, status.st_ino);
  EXPECT_EQ(found.mapping.high - found.mapping.low, kPage);
  unlink(path.c_str());
  EXPECT_NE(Find(memory).path.find(" (deleted)"), std::string::npos);
  munmap(memory, kPage);
  close(file);
}

// Where the kernel tells of one mapping, it says what the list says.
TEST(MapsTest, OfOneAddress) {
  static int variable = 1;
  const int local = 1;
  const MappingQuery query;
  for (const void* const address :
       {static_cast<const void*>(&variable), static_cast<const void*>(&local),
        reinterpret_cast<const void*>(&Find)}) {
    Mapping found;
    const MappingQuery::Answer answer =
        query.Find(reinterpret_cast<std::uintptr_t>(address), &found);
    if (answer == MappingQuery::Answer::kNotTold) {
      GTEST_SKIP() << "an older kernel";
    }
    ASSERT_EQ(answer, MappingQuery::Answer::kFound);
    const Mapping listed = Find(address).mapping;
    EXPECT_EQ(found.low, listed.low);
    EXPECT_EQ(found.high, listed.high);
    EXPECT_EQ(found.readable, listed.readable);
    EXPECT_EQ(found.writable, listed.writable);
    EXPECT_EQ(found.executable, listed.executable);
    EXPECT_EQ(found.shared, listed.shared);
    EXPECT_EQ(found.offset, listed.offset);
    EXPECT_EQ(found.inode, listed.inode);
    EXPECT_EQ(found.device_major, listed.device_major);
    EXPECT_EQ(found.device_minor, listed.device_minor);
  }
  void* const gone =
      mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(gone, MAP_FAILED);
  munmap(gone, kPage);
  Mapping found;
  EXPECT_EQ(query.Find(reinterpret_cast<std::uintptr_t>(gone), &found),
            MappingQuery::Answer::kNothingThere);
}

// The kernel tells of them what the list says.
TEST(MapsTest, MappedCode) {
  struct Code {
    std::uintptr_t low, high;
    std::uint64_t offset, inode;
    std::string path;
    bool operator==(const Code& o) const {
      return std::tie(low, high, offset, inode, path) ==
             std::tie(o.low, o.high, o.offset, o.inode, o.path);
    }
  };
  const std::string path = testing::TempDir() + "/maps_test_removed code";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(ftruncate(file, static_cast<off_t>(kPage)), 0);
  void* const memory =
      mmap(nullptr, kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  ASSERT_NE(memory, MAP_FAILED);
  unlink(path.c_str());
  const auto visit_into = [](std::vector<Code>* all) {
    return [all](const Mapping& mapping) {
      if (mapping.executable && mapping.inode != 0) {
        all->push_back({mapping.low, mapping.high, mapping.offset,
                        mapping.inode, std::string(mapping.path)});
      }
      return true;
    };
  };
  std::vector<Code> listed, found;
  EXPECT_TRUE(VisitMappings(visit_into(&listed)));
  EXPECT_TRUE(VisitMappedCode(visit_into(&found)));
  EXPECT_TRUE(found == listed);
  EXPECT_GE(found.size(), 2u);
  int visits = 0;
  EXPECT_TRUE(VisitMappedCode([&](const Mapping&) { return ++visits < 2; }));
  EXPECT_EQ(visits, 2);
  // Where the path has no room.
  Mapping mapping;
  char small[2];
  EXPECT_EQ(MappingQuery().FindCode(found.front().low, &mapping,
                                    absl::MakeSpan(small)),
            MappingQuery::Answer::kNotTold);
  munmap(memory, kPage);
  close(file);
}

// A filter may end whoever makes a call that it does not know.
TEST(MapsTest, NobodyIsAskedUnderAFilter) {
  EXPECT_EQ(InAChild([] {
              if (!AnswerCall(SYS_ioctl, SECCOMP_RET_KILL_PROCESS)) return 1;
              const int local = 1;
              Mapping found;
              return MappingQuery().Find(
                         reinterpret_cast<std::uintptr_t>(&local), &found) ==
                             MappingQuery::Answer::kNotTold
                         ? 0
                         : 2;
            }),
            0);
}

TEST(MapsTest, EndsWhenAskedTo) {
  int visits = 0;
  EXPECT_TRUE(VisitMappings([&](const Mapping&) { return ++visits < 2; }));
  EXPECT_EQ(visits, 2);
}

TEST(MapsTest, VisitsEachOnceByRisingAddress) {
  // More than fit into one read.
  void* memory[200];
  for (int i = 0; i < 200; ++i) {
    memory[i] = mmap(nullptr, kPage, i % 2 == 0 ? PROT_READ : PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory[i], MAP_FAILED);
  }
  std::uintptr_t last = 0;
  int visits = 0;
  EXPECT_TRUE(VisitMappings([&](const Mapping& mapping) {
    EXPECT_GE(mapping.low, last);
    EXPECT_GT(mapping.high, mapping.low);
    last = mapping.high;
    ++visits;
    return true;
  }));
  EXPECT_GT(visits, 100);
  for (void* page : memory) munmap(page, kPage);
}

}  // namespace
}  // namespace instar

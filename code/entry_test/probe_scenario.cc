// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program as updatable_cc_binary makes it: its function entries are the same
// in the file and in memory, so that the kernel's probes, which take
// instructions from the file, do it no harm.

#include <elf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "code/entry_check.h"
#include "code/function_entry.h"
#include "code/internal/patchable_entries.h"
#include "code/updatable_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;
using ::testing::SizeIs;

// The program's file, and where in it an address of memory is.
class ProgramFile {
 public:
  ProgramFile() {
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat status;
    fstat(file, &status);
    bytes_ = static_cast<const char*>(
        mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE, file, 0));
    close(file);
    base_ = (*PatchableEntries::Current())->images()[0].load_base;
  }

  size_t OffsetOf(uintptr_t address) const {
    const auto* header = reinterpret_cast<const Elf64_Ehdr*>(bytes_);
    const auto* segments =
        reinterpret_cast<const Elf64_Phdr*>(bytes_ + header->e_phoff);
    for (int i = 0; i < header->e_phnum; ++i) {
      const uintptr_t begin = base_ + segments[i].p_vaddr;
      if (segments[i].p_type == PT_LOAD && begin <= address &&
          address < begin + segments[i].p_filesz) {
        return address - begin + segments[i].p_offset;
      }
    }
    return 0;
  }

  bool IsAsInMemory(uintptr_t address) const {
    return memcmp(bytes_ + OffsetOf(address),
                  reinterpret_cast<const void*>(address), 5) == 0;
  }

 private:
  const char* bytes_;
  uintptr_t base_;
};

// A uprobe on a function of this program while it lives.
class Probe {
 public:
  explicit Probe(int (*function)(int)) {
    std::FILE* const type =
        std::fopen("/sys/bus/event_source/devices/uprobe/type", "re");
    if (type == nullptr) {
      error_ = "this kernel has no uprobes";
      return;
    }
    perf_event_attr attributes;
    memset(&attributes, 0, sizeof(attributes));
    attributes.size = sizeof(attributes);
    const int fields = std::fscanf(type, "%u", &attributes.type);
    std::fclose(type);
    char path[4096] = {};
    if (fields != 1 || readlink("/proc/self/exe", path, sizeof(path) - 1) < 0) {
      error_ = "the kernel does not say how";
      return;
    }
    attributes.uprobe_path = reinterpret_cast<uintptr_t>(path);
    attributes.probe_offset =
        ProgramFile().OffsetOf(reinterpret_cast<uintptr_t>(function));
    event_ = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1,
                                      -1, PERF_FLAG_FD_CLOEXEC));
    if (event_ < 0) error_ = std::string("not permitted: ") + strerror(errno);
  }
  ~Probe() {
    if (event_ >= 0) close(event_);
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  bool ok() const { return event_ >= 0; }
  const std::string& error() const { return error_; }
  uint64_t hits() const {
    uint64_t hits = 0;
    EXPECT_EQ(read(event_, &hits, sizeof(hits)),
              static_cast<ssize_t>(sizeof(hits)));
    return hits;
  }

 private:
  int event_ = -1;
  std::string error_;
};

TEST(ProbeScenario, FileAndMemoryAgreeAtEveryEntry) {
  const ProgramFile file;
  const auto entries = *PatchableEntries::Current();
  const auto all = entries->images()[0].entries;
  ASSERT_GT(all.size(), 10u);
  for (const uintptr_t entry : all) {
    EXPECT_TRUE(file.IsAsInMemory(entry)) << std::hex << entry;
  }
}

TEST(ProbeScenario, ProbedFunctionRuns) {
  const Probe probe(&Answer);
  if (!probe.ok()) GTEST_SKIP() << probe.error();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Answer(1), 101);
  EXPECT_EQ(probe.hits(), 100u);
  // Refused, whatever the kernel has made of the entry by now.
  EXPECT_FALSE(Redirect(&Answer, &Answer2).ok());
  EXPECT_EQ(Answer(1), 101);
}

TEST(ProbeScenario, RedirectedFunctionOutlivesAProbe) {
  auto redirection = Redirect(&Answer, &Answer2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  {
    const Probe probe(&Answer);
    if (!probe.ok()) {
      EXPECT_TRUE(redirection->Undo().ok());
      GTEST_SKIP() << probe.error();
    }
    EXPECT_THAT(CheckRedirectedEntries(), SizeIs(1));
    for (int i = 0; i < 100; ++i) ASSERT_EQ(Answer(1), 101);
    const auto changed = CheckRedirectedEntries();
    ASSERT_THAT(changed, SizeIs(1));
    EXPECT_FALSE(changed[0].is_restored);
  }
  EXPECT_EQ(Answer(1), 101);
  const auto changed = CheckRedirectedEntries();
  ASSERT_THAT(changed, SizeIs(1));
  EXPECT_TRUE(changed[0].is_restored) << changed[0].error;
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(redirection->Undo().ok());
  EXPECT_EQ(Answer(1), 101);
}

}  // namespace
}  // namespace instar

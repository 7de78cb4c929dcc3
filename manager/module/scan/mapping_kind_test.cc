// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/mapping_kind.h"

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace instar {
namespace manager_internal {
namespace {

MappingKind Of(absl::string_view path, bool shared, bool writable = true) {
  Mapping mapping;
  mapping.path = path;
  mapping.shared = shared;
  mapping.writable = writable;
  return KindOf(mapping);
}

TEST(MappingKindTest, WhatIsTheProcesssOwn) {
  for (const char* path :
       {"", "[heap]", "[stack]", "[anon:arena]", "/usr/bin/shop", "/dev/zero",
        "/dev/shm/shop", "/memfd:shop (deleted)", "/anon_hugepage (deleted)"}) {
    EXPECT_EQ(Of(path, false), MappingKind::kPrivate) << path;
  }
}

TEST(MappingKindTest, WhatIsShared) {
  for (const bool writable : {false, true}) {
    for (const char* path :
         {"/dev/zero (deleted)", "/dev/shm/shop", "/memfd:shop (deleted)",
          "/SYSV00000001 (deleted)", "socket:[77]"}) {
      EXPECT_EQ(Of(path, true, writable), MappingKind::kShared) << path;
    }
    for (const char* path : {"/anon_hugepage (deleted)", "/dev/hugepages/x"}) {
      EXPECT_EQ(Of(path, true, writable), MappingKind::kSharedHuge) << path;
    }
  }
  EXPECT_EQ(Of("/var/lib/shop/data", true, true), MappingKind::kFile);
  EXPECT_EQ(Of("/var/lib/shop/data", true, false), MappingKind::kNothing);
}

TEST(MappingKindTest, WhatIsNotToBeRead) {
  for (const bool shared : {false, true}) {
    for (const char* path :
         {"/dev/mem", "/dev/dri/card0", "/sys/bus/pci/devices/x/resource0",
          "/proc/bus/pci/00", "anon_inode:[io_uring]",
          "anon_inode:[perf_event]", "/[aio] (deleted)", "/dmabuf:"}) {
      EXPECT_EQ(Of(path, shared), MappingKind::kUnreadable) << path;
    }
    EXPECT_EQ(Of("[uprobes]", shared), MappingKind::kProbes);
    for (const char* path :
         {"[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]"}) {
      EXPECT_EQ(Of(path, shared), MappingKind::kNothing) << path;
    }
  }
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program's allocator, for tests that link it: ends the program, and says
// where, when this thread allocates or frees where it must not
// (base/no_allocation.h).

#include <cxxabi.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

#include "base/no_allocation.h"

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);
}

namespace instar {
namespace {

// Its first call allocates.
[[gnu::constructor]] void PrepareBacktrace() {
  void* frame;
  backtrace(&frame, 1);
}

void Check(const char* what) {
  if (!NoAllocation::IsOnThisThread()) return;
  const AuthorsCode allowed;
  void* frames[64];
  const int count = backtrace(frames, 64);
  std::fprintf(stderr, "%s() while this thread holds others:\n", what);
  for (int i = 1; i < count; ++i) {
    Dl_info info;
    const char* name = "?";
    char* demangled = nullptr;
    if (dladdr(frames[i], &info) != 0 && info.dli_sname != nullptr) {
      int status = 0;
      demangled =
          abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
      name = demangled != nullptr ? demangled : info.dli_sname;
    }
    std::fprintf(stderr, "  %p %s\n", frames[i], name);
    std::free(demangled);
  }
  std::fflush(stderr);
  static const bool goes_on = getenv("INSTAR_COUNT_ALLOCATIONS") != nullptr;
  if (!goes_on) std::abort();
}

}  // namespace
}  // namespace instar

extern "C" {

void* malloc(size_t size) {
  instar::Check("malloc");
  return __libc_malloc(size);
}

void free(void* memory) {
  if (memory != nullptr) instar::Check("free");
  __libc_free(memory);
}

void* calloc(size_t count, size_t size) {
  instar::Check("calloc");
  return __libc_calloc(count, size);
}

void* realloc(void* memory, size_t size) {
  instar::Check("realloc");
  return __libc_realloc(memory, size);
}

void* memalign(size_t alignment, size_t size) {
  instar::Check("memalign");
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  instar::Check("aligned_alloc");
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  instar::Check("posix_memalign");
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}

}  // extern "C"

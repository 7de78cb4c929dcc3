// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program's allocator: ends the program when the library allocates or frees
// while it holds threads (base/testing/checked_world.h).

#include <errno.h>
#include <stdlib.h>

#include <cstddef>
#include <cstdio>

#include "base/no_allocation.h"
#include "base/testing/checked_world.h"

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);
}

namespace instar {
namespace {

void Check(const char* what) {
  if (!NoAllocation::IsOnThisThread()) return;
  const AuthorsCode allowed;
  const char* const part = AuthorsPart::Innermost();
  char message[300];
  std::snprintf(message, sizeof(message),
                "the library calls %s() while this thread holds others%s%s",
                what,
                part == nullptr ? "" : ", in: ", part == nullptr ? "" : part);
  EndUnchecked(message);
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

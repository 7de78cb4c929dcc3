// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/shadow/release_at_free.h"

#include <dlfcn.h>

#include <atomic>
#include <cstddef>

#include "heap/shadow/internal/address_table.h"

namespace instar {
namespace {

using heap_internal::AddressTable;

// The allocator's own, found at the first call: the first is made before any
// other thread runs.
template <typename Function>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}

  Function* Get() {
    Function* known = function_.load(std::memory_order_relaxed);
    if (__builtin_expect(known == nullptr, 0)) {
      known = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name_));
      function_.store(known, std::memory_order_relaxed);
    }
    return known;
  }

 private:
  const char* const name_;
  std::atomic<Function*> function_{nullptr};
};

Next<void(void*)> next_free("free");
Next<void*(void*, std::size_t)> next_realloc("realloc");
Next<void*(void*, std::size_t, std::size_t)> next_reallocarray("reallocarray");

void EndOf(void* memory) {
  if (__builtin_expect(AddressTable::MayHave(memory), 0)) {
    AddressTable::EndInAllTables(memory);
  }
}

}  // namespace
}  // namespace instar

// They take the place of libc's for the whole process: a program exports its
// functions to the libraries that it is linked with.
#pragma GCC visibility push(default)
extern "C" {

void free(void* memory) noexcept {
  instar::EndOf(memory);
  instar::next_free.Get()(memory);
}

void* realloc(void* memory, std::size_t size) noexcept {
  instar::EndOf(memory);
  return instar::next_realloc.Get()(memory, size);
}

void* reallocarray(void* memory, std::size_t count, std::size_t size) noexcept {
  instar::EndOf(memory);
  return instar::next_reallocarray.Get()(memory, count, size);
}

}  // extern "C"
#pragma GCC visibility pop

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory is wiped before it is freed, so that no old address is left there:
// what keeps a module loaded is what a test has put somewhere. (In programs
// that do not do this one is kept until such memory is used again.)

#include <malloc.h>
#include <string.h>

#include <cstddef>
#include <cstdlib>
#include <new>

// As a sanitizer asks: what malloc() gave is given to free().
void* operator new(std::size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size);
}
void operator delete(void* memory) noexcept {
  if (memory != nullptr) explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/library_code.h"

#include <sys/uio.h>
#include <unistd.h>

namespace instar {
namespace {

// x86-64 psABI, "Thread-Local Storage": the first word of what the thread
// pointer leads to is the thread pointer.
std::uintptr_t OwnThreadPointer() {
  std::uintptr_t pointer = 0;
#if defined(__x86_64__)
  asm("movq %%fs:0, %0" : "=r"(pointer));
#endif
  return pointer;
}

// By the kernel: the address may be no memory.
template <typename T>
bool Read(std::uintptr_t address, T* value) {
  const iovec local = {value, sizeof(*value)};
  const iovec remote = {reinterpret_cast<void*>(address), sizeof(*value)};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) ==
         static_cast<ssize_t>(sizeof(*value));
}

}  // namespace

__thread std::atomic<std::uint32_t> LibraryCode::depth_{0};

bool LibraryCode::IsOnThread(std::uintptr_t thread_pointer) {
#if !defined(__x86_64__)
  // Nothing says that it is one: asked for no thread (traced_threads.cc).
  return true;
#endif
  std::uintptr_t itself = 0;
  if (!Read(thread_pointer, &itself) || itself != thread_pointer) return true;
  // initial-exec: at the same distance in every thread.
  const std::uintptr_t distance =
      reinterpret_cast<std::uintptr_t>(&depth_) - OwnThreadPointer();
  std::uint32_t depth = 0;
  return !Read(thread_pointer + distance, &depth) || depth != 0;
}

}  // namespace instar

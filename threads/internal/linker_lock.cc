// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/linker_lock.h"

#include <dlfcn.h>
#include <sys/auxv.h>

#include <atomic>
#include <cstdint>

#include "base/linker_gate.h"
#include "base/unwind_table.h"
#include "stack/stack_walker.h"

namespace instar {
namespace threads_internal {
namespace {

struct LinkerCode {
  // Its whole object.
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
  // dl_iterate_phdr(), which is in libc.
  std::uintptr_t iterate_low = 0;
  std::uintptr_t iterate_high = 0;

  bool Contains(std::uintptr_t pc) const {
    return (pc >= low && pc < high) || (pc >= iterate_low && pc < iterate_high);
  }
};

LinkerCode FindLinkerCode() {
  LinkerCode code;
  dl_find_object object;
  const unsigned long base = getauxval(AT_BASE);
  if (base != 0 &&
      _dl_find_object(reinterpret_cast<void*>(base), &object) == 0) {
    code.low = reinterpret_cast<std::uintptr_t>(object.dlfo_map_start);
    code.high = reinterpret_cast<std::uintptr_t>(object.dlfo_map_end);
  }
  const LinkerGate gate;
  void* const libc = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_LAZY);
  if (libc == nullptr) return code;
  UnwindEntry entry;
  const auto iterate =
      reinterpret_cast<std::uintptr_t>(dlsym(libc, "dl_iterate_phdr"));
  if (iterate != 0 &&
      FindUnwindEntry(iterate, &entry) == UnwindLookup::kFound) {
    code.iterate_low = entry.start;
    code.iterate_high = entry.end;
  }
  dlclose(libc);
  return code;
}

// Release where it is set, acquire where it is used: the code is written.
std::atomic<const LinkerCode*> linker_code{nullptr};

// Finding it takes the linker's lock: that is to come before any lock of ours,
// and before any thread that would wait for who finds it.
[[gnu::constructor]] void FindAtStart() {
  linker_code.store(new LinkerCode(FindLinkerCode()),
                    std::memory_order_release);
}

}  // namespace

bool MayOwnLinkerLock(const StackSnapshot& stack) {
  const LinkerCode* const code = linker_code.load(std::memory_order_acquire);
  if (code == nullptr) return false;
  bool found = false;
  WalkStack(stack, [&](const Frame& frame) {
    found = code->Contains(frame.lookup_pc);
    return !found;
  });
  return found;
}

}  // namespace threads_internal
}  // namespace instar

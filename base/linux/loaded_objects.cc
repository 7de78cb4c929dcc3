// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/loaded_objects.h"

#include <dlfcn.h>

#include "base/linker_gate.h"

namespace instar {
namespace {

using Iterate = int (*)(int (*)(dl_phdr_info*, size_t, void*), void*);

Iterate FindIterate() {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  // The sanitizer's own stands in front of libc's, and must be told.
  return &dl_iterate_phdr;
#else
  // Of the objects behind the one that has this code: the program's own comes
  // before them. A program in one piece has no other.
  void* const found = dlsym(RTLD_NEXT, "dl_iterate_phdr");
  return found == nullptr ? &dl_iterate_phdr : reinterpret_cast<Iterate>(found);
#endif
}

Iterate g_iterate = nullptr;  // atomic; the same whoever finds it

}  // namespace

int ForEachLoadedObject(int (*visit)(dl_phdr_info* info, size_t size,
                                     void* argument),
                        void* argument) {
  const LinkerGate gate;
  Iterate iterate = __atomic_load_n(&g_iterate, __ATOMIC_RELAXED);
  if (iterate == nullptr) {
    iterate = FindIterate();
    __atomic_store_n(&g_iterate, iterate, __ATOMIC_RELAXED);
  }
  return iterate(visit, argument);
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/testing/checked_world.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <stdlib.h>

#include <cstdio>
#include <cstring>
#include <initializer_list>

namespace instar {
namespace {

constexpr int kFrames = 64;
constexpr int kNameBytes = 300;

// Its first call allocates.
[[gnu::constructor]] void PrepareBacktrace() {
  void* frame;
  backtrace(&frame, 1);
}

void NameOf(void* pc, char* name) {
  std::strcpy(name, "?");
  Dl_info info;
  // At the end of a call: the next function may begin behind it.
  if (dladdr(static_cast<char*>(pc) - 1, &info) == 0) return;
  if (info.dli_sname == nullptr) {
    const char* const file = std::strrchr(info.dli_fname, '/');
    std::snprintf(name, kNameBytes, "? in %s",
                  file == nullptr ? info.dli_fname : file + 1);
    return;
  }
  int status = 0;
  char* const demangled =
      abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
  std::snprintf(name, kNameBytes, "%s",
                demangled != nullptr ? demangled : info.dli_sname);
  std::free(demangled);
}

// Of who takes the place of a function, and what is between that and code that
// somebody wrote.
bool IsOfTheWayThere(const char* name) {
  for (const char* const begin :
       {"?", "std::", "void std::", "__gnu", "__gthread", "operator new",
        "operator delete", "absl::", "pthread_", "malloc", "calloc", "realloc",
        "free", "memalign", "aligned_alloc", "posix_memalign",
        "instar::EndUnchecked"}) {
    if (std::strncmp(name, begin, std::strlen(begin)) == 0) return true;
  }
  return std::strstr(name, "::Check(") != nullptr;
}

}  // namespace

void EndUnchecked(const char* what) {
  void* frames[kFrames];
  const int count = backtrace(frames, kFrames);
  char name[kNameBytes];
  int caller = 0;
  do {
    NameOf(frames[caller], name);
  } while (IsOfTheWayThere(name) && ++caller < count);
  std::fprintf(stderr, "instar: %s, called by %s\n", what,
               caller < count ? name : "?");
  for (int i = 1; i < count; ++i) {
    NameOf(frames[i], name);
    std::fprintf(stderr, "  %p %s\n", frames[i], name);
  }
  std::fflush(stderr);
  const char* const mode = getenv("INSTAR_CHECKED_WORLD");
  if (mode == nullptr || std::strcmp(mode, "say") != 0) std::abort();
}

}  // namespace instar

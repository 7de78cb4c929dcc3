// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/straggler.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "stack/stack_walker.h"

namespace instar {
namespace threads_internal {
namespace {

// Linkage names, sorted.
constexpr absl::string_view kExcluded[] = {
    "__libc_calloc",
    "__libc_free",
    "__libc_malloc",
    "__libc_memalign",
    "__libc_realloc",
    "_exit",
    "_ZdaPv",
    "_ZdlPv",
    "_Znam",
    "_Znwm",
    "aligned_alloc",
    "calloc",
    "dl_iterate_phdr",
    "dladdr",
    "dladdr1",
    "dlclose",
    "dlerror",
    "dlinfo",
    "dlopen",
    "dlsym",
    "dlvsym",
    "exit",
    "fork",
    "free",
    "mallinfo",
    "mallinfo2",
    "malloc",
    "malloc_trim",
    "mallopt",
    "memalign",
    "posix_memalign",
    "pthread_create",
    "pthread_getattr_np",
    "pthread_sigmask",
    "pvalloc",
    "quick_exit",
    "realloc",
    "reallocarray",
    "sigprocmask",
    "valloc",
    "vfork",
};

bool IsExcluded(absl::string_view name) {
  for (const absl::string_view excluded : kExcluded) {
    if (name == excluded) return true;
  }
  return false;
}

absl::string_view FileName(absl::string_view path) {
  const auto slash = path.rfind('/');
  return slash == absl::string_view::npos ? path : path.substr(slash + 1);
}

// What makes system calls of its own, with locks that any code may need. (Where
// it stands in for a call of the program, that goes on into libc.)
bool IsOfSanitizer(absl::string_view file) {
  return absl::StartsWith(file, "libtsan") || absl::StartsWith(file, "libasan");
}

// At the `syscall` instruction (which is to be begun again), or behind it.
__attribute__((no_sanitize("address"))) bool IsAtSystemCall(std::uintptr_t pc) {
  const auto* const code = reinterpret_cast<const unsigned char*>(pc);
  return (code[-2] == 0x0f && code[-1] == 0x05) ||
         (code[0] == 0x0f && code[1] == 0x05);
}

}  // namespace

bool MayStayInterrupted(const StackSnapshot& stack, const FunctionMap& map) {
  if (!map.Containing(stack.rip).has_value() || !IsAtSystemCall(stack.rip)) {
    return false;
  }
  bool allowed = true;
  bool in_innermost_libc = true;
  bool last_is_exported = true;
  const WalkResult walk = WalkStack(stack, [&](const Frame& frame) {
    const std::optional<Function> function = map.Containing(frame.lookup_pc);
    if (!function.has_value()) {
      allowed = false;
      return false;
    }
    const absl::string_view file = FileName(function->image());
    const auto names = function->linkage_names();
    if (absl::StartsWith(file, "ld-linux") ||
        (frame.depth == 0 && IsOfSanitizer(file)) ||
        std::any_of(names.begin(), names.end(), &IsExcluded)) {
      allowed = false;
      return false;
    }
    if (in_innermost_libc) {
      if (absl::StartsWith(file, "libc.so")) {
        last_is_exported = !names.empty();
      } else {
        in_innermost_libc = false;
        allowed = last_is_exported;
      }
    }
    return allowed;
  });
  return allowed && walk.complete();
}

}  // namespace threads_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/may_stay_interrupted.h"

#include <dlfcn.h>
#include <sys/auxv.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/fork_mutex.h"
#include "base/linkage_stub.h"
#include "base/linker_gate.h"
#include "base/linux/tasks.h"
#include "base/system_call_code.h"
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

// All forms of operator new and delete: sized, aligned, nothrow, of arrays.
constexpr absl::string_view kOperators[] = {"_Znw", "_Zna", "_Zdl", "_Zda"};

bool IsExcluded(absl::string_view name) {
  for (const absl::string_view prefix : kOperators) {
    if (absl::StartsWith(name, prefix)) return true;
  }
  return std::binary_search(std::begin(kExcluded), std::end(kExcluded), name);
}

bool IsExcluded(const Function& function) {
  const auto names = function.linkage_names();
  return std::any_of(names.begin(), names.end(),
                     [](absl::string_view name) { return IsExcluded(name); });
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

// Gives up its mutex while it waits.
bool IsConditionWait(const Function& function) {
  const auto names = function.linkage_names();
  return std::any_of(names.begin(), names.end(), [](absl::string_view name) {
    return name == "pthread_cond_wait" || name == "pthread_cond_timedwait" ||
           name == "pthread_cond_clockwait";
  });
}

bool IsOfLibc(absl::string_view file) {
  return absl::StartsWith(file, "libc.so");
}

// Reads memory that may not be there.
bool ReadSafely(std::uintptr_t from, void* to, std::size_t size) {
  const iovec local = {to, size};
  const iovec remote = {reinterpret_cast<void*>(from), size};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) ==
         static_cast<ssize_t>(size);
}

#if defined(__x86_64__)

std::uintptr_t Relative(const unsigned char* field, std::uintptr_t after) {
  std::int32_t distance;
  std::memcpy(&distance, field, sizeof(distance));
  return after + static_cast<std::uintptr_t>(std::intptr_t{distance});
}

// Where the call before this return address leads; 0 if the code does not tell.
std::uintptr_t DirectTargetOfCall(std::uintptr_t return_address) {
  unsigned char call[6];
  if (!ReadSafely(return_address - sizeof(call), call, sizeof(call))) return 0;
  std::uintptr_t target = 0;
  if (call[0] == 0xff && call[1] == 0x15) {  // call *slot(%rip)
    return ReadSafely(Relative(call + 2, return_address), &target,
                      sizeof(target))
               ? target
               : 0;
  }
  // call target
  return call[1] == 0xe8 ? Relative(call + 2, return_address) : 0;
}

#elif defined(__aarch64__)

std::uintptr_t DirectTargetOfCall(std::uintptr_t return_address) {
  std::uint32_t call = 0;
  const std::uintptr_t at = return_address - sizeof(call);
  if (!ReadSafely(at, &call, sizeof(call))) return 0;
  if ((call & 0xfc000000) != 0x94000000) return 0;  // bl target
  const auto distance =
      static_cast<std::int64_t>(std::uint64_t{call} << 38) >> 38;
  return at + 4 * static_cast<std::uintptr_t>(distance);
}

#else
#error "how this processor calls functions is not known here"
#endif

// What the call before this return address calls, through the procedure linkage
// table; 0 if the code does not tell. It tells what a frame does not if the
// function called went on by a jump: pthread_join(), sem_wait(), and what
// allocates often do.
std::uintptr_t TargetOfCall(std::uintptr_t return_address) {
  const std::uintptr_t target = DirectTargetOfCall(return_address);
  if (target == 0) return 0;
  unsigned char stub[kLinkageStubSize];
  if (!ReadSafely(target, stub, sizeof(stub))) return target;
  const std::uintptr_t slot = SlotOfLinkageStub(stub, target);
  std::uintptr_t bound = 0;
  return slot != 0 && ReadSafely(slot, &bound, sizeof(bound)) ? bound : target;
}

// The function that starts at what was called.
std::optional<Function> CalledFunction(std::uintptr_t return_address,
                                       const FunctionMap& map) {
  const std::uintptr_t target = TargetOfCall(return_address);
  if (target == 0) return std::nullopt;
  std::optional<Function> function = map.Containing(target);
  if (function.has_value() && function->entry() != target) {
    function = std::nullopt;
  }
  return function;
}

std::uintptr_t ExportedAs(const char* name) {
  const LinkerGate gate;
  return reinterpret_cast<std::uintptr_t>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

UnsafeCode::UnsafeCode() {
  // As the dynamic linker binds them, in the program and everywhere.
  constexpr const char* kAllocating[] = {
      "malloc",
      "free",
      "calloc",
      "realloc",
      "memalign",
      "aligned_alloc",
      "posix_memalign",
      "_Znwm",
      "_Znam",
      "_ZdlPv",
      "_ZdaPv",
      "_ZdlPvm",
      "_ZdaPvm",
      "_ZnwmSt11align_val_t",
      "_ZnamSt11align_val_t",
      "_ZdlPvSt11align_val_t",
      "_ZdaPvSt11align_val_t",
      "_ZdlPvmSt11align_val_t",
      "_ZdaPvmSt11align_val_t",
      "_ZnwmRKSt9nothrow_t",
      "_ZnamRKSt9nothrow_t",
      "_ZdlPvRKSt9nothrow_t",
      "_ZdaPvRKSt9nothrow_t",
      "_ZnwmSt11align_val_tRKSt9nothrow_t",
      "_ZnamSt11align_val_tRKSt9nothrow_t",
      "_ZdlPvSt11align_val_tRKSt9nothrow_t",
      "_ZdaPvSt11align_val_tRKSt9nothrow_t",
  };
  const FunctionMap map = FunctionMap::Preload();
  const std::optional<Function> start =
      map.Containing(static_cast<std::uintptr_t>(getauxval(AT_ENTRY)));
  for (const char* const name : kAllocating) {
    const std::uintptr_t address = ExportedAs(name);
    const std::optional<Function> function = map.Containing(address);
    if (!function.has_value()) {
      // Not exported, so nobody else defines it: the program, if anyone.
      program_allocates_ |= address == 0;
      continue;
    }
    const absl::string_view image = function->image();
    const absl::string_view file = FileName(image);
    if (start.has_value() && image == start->image()) {
      program_allocates_ = true;
    } else if (!IsOfLibc(file) && !absl::StartsWith(file, "libstdc++") &&
               !IsOfSanitizer(file) && !IsAllocator(image)) {
      allocators_.emplace_back(image);
    }
  }
}

const UnsafeCode& UnsafeCode::Get() {
  static ForkOnce<UnsafeCode> code;
  return code.Get([] { return UnsafeCode(); });
}

bool UnsafeCode::IsAllocator(absl::string_view image) const {
  return std::find(allocators_.begin(), allocators_.end(), image) !=
         allocators_.end();
}

bool MayStayInterrupted(const StackSnapshot& stack, const FunctionMap& map,
                        const UnsafeCode& unsafe) {
  return map.Containing(stack.pc).has_value() && IsAtSystemCall(stack.pc) &&
         OwnsNoLockOfAllocator(stack, map, unsafe);
}

bool OwnsNoLockOfAllocator(const StackSnapshot& stack, const FunctionMap& map,
                           const UnsafeCode& unsafe) {
  bool allowed = true;
  bool in_innermost_libc = true;
  bool is_known = true;  // what the program called of libc
  // A thread of the allocator's own that waits for work, as jemalloc's
  // background threads do: nothing but its code is on the stack. In the system
  // call of a condition variable it has given up the mutex, and with another
  // one it would keep everybody waiting who allocates.
  const bool is_in_system_call =
      map.Containing(stack.pc).has_value() && IsAtSystemCall(stack.pc);
  bool waits_for_work = false;
  bool is_condition_wait = false;
  const WalkResult walk = WalkStack(stack, [&](const Frame& frame) {
    const std::optional<Function> function = map.Containing(frame.lookup_pc);
    if (!function.has_value()) {
      allowed = false;
      return false;
    }
    const absl::string_view file = FileName(function->image());
    if (unsafe.IsAllocator(function->image()) &&
        (waits_for_work || (in_innermost_libc && is_condition_wait))) {
      in_innermost_libc = false;
      waits_for_work = true;
      return true;
    }
    if (waits_for_work) {
      allowed = IsOfLibc(file);
      return allowed;
    }
    allowed = !absl::StartsWith(file, "ld-linux") &&
              !(frame.depth == 0 && IsOfSanitizer(file)) &&
              !unsafe.IsAllocator(function->image()) && !IsExcluded(*function);
    if (!allowed) return false;
    const bool leaves_libc = in_innermost_libc && !IsOfLibc(file);
    if ((leaves_libc && !is_known) ||
        (unsafe.program_allocates() && frame.depth > 0)) {
      const std::optional<Function> called = CalledFunction(frame.pc, map);
      if (called.has_value()) {
        allowed = !IsExcluded(*called);
        is_known = !called->linkage_names().empty();
      }
    }
    if (leaves_libc) {
      in_innermost_libc = false;
      allowed = allowed && is_known;
    } else if (in_innermost_libc) {
      is_known = !function->linkage_names().empty();
      is_condition_wait = is_in_system_call && IsConditionWait(*function);
    }
    return allowed;
  });
  return allowed && walk.complete();
}

// --- Whom to interrupt.

namespace {

// After the first refusal at a place, and at most.
constexpr std::chrono::milliseconds kFirstPause(1);
constexpr std::chrono::milliseconds kLastPause(1000);

// Where a thread waits in a system call: its program counter behind the
// instruction, and its stack pointer. False if it runs.
bool WaitsAt(const char* text, std::uintptr_t* pc, std::uintptr_t* sp) {
  // "NUMBER ARGUMENTS SP PC", "-1 SP PC" outside of a system call, "running".
  if (text[0] < '0' || text[0] > '9') return false;
  const char* const last = std::strrchr(text, ' ');
  if (last == nullptr) return false;
  const char* before = last;
  while (before > text && before[-1] != ' ') --before;
  *sp = std::strtoull(before, nullptr, 16);
  *pc = std::strtoull(last + 1, nullptr, 16);
  return true;
}

void Note(Refusal& refusal, std::uintptr_t pc, std::uintptr_t sp) {
  const bool is_same = refusal.pc == pc && refusal.sp == sp;
  refusal.pause = is_same ? std::min<std::chrono::nanoseconds>(
                                2 * refusal.pause, kLastPause)
                          : kFirstPause;
  refusal.pc = pc;
  refusal.sp = sp;
  refusal.until = std::chrono::steady_clock::now() + refusal.pause;
}

}  // namespace

bool MayBeInterrupted(const ThreadRecord& record) {
  const Refusal& refusal = record.refusal;
  if (refusal.pc == 0) return true;
  char text[256];
  if (!ReadTaskFile(record.tid.load(std::memory_order_relaxed), "syscall", text,
                    sizeof(text))) {
    return std::chrono::steady_clock::now() >= refusal.until;
  }
  std::uintptr_t pc;
  std::uintptr_t sp;
  if (!WaitsAt(text, &pc, &sp)) return false;
  return pc != refusal.pc || sp != refusal.sp ||
         std::chrono::steady_clock::now() >= refusal.until;
}

void NoteRefusal(ThreadRecord& record, const StackSnapshot& where) {
  Refusal& refusal = record.refusal;
  std::uintptr_t pc = where.pc;
  // The kernel begins the call again: it stands before it.
  unsigned char code[kSystemCallSize];
  if (ReadSafely(pc, code, sizeof(code)) && IsSystemCall(code)) {
    pc += kSystemCallSize;
  }
  Note(refusal, pc, where.sp);
}

void NoteNotTaken(ThreadRecord& record) {
  char text[256];
  // Where it was refused, if it runs: the signal has woken it there, and on a
  // busy machine it was not its turn since.
  std::uintptr_t pc = record.refusal.pc == 0 ? 1 : record.refusal.pc;
  std::uintptr_t sp = record.refusal.sp;
  if (ReadTaskFile(record.tid.load(std::memory_order_relaxed), "syscall", text,
                   sizeof(text))) {
    WaitsAt(text, &pc, &sp);  // else they stay
  }
  Note(record.refusal, pc, sp);
}

}  // namespace threads_internal
}  // namespace instar

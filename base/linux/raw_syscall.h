// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A system call by the processor's instruction, for children and helpers that
// share memory with threads they know nothing of: libc's functions write errno,
// which is another thread's there.

#ifndef INSTAR_BASE_LINUX_RAW_SYSCALL_H_
#define INSTAR_BASE_LINUX_RAW_SYSCALL_H_

namespace instar {

// The result, or -errno. Async-signal-safe, and known to no sanitizer.
__attribute__((always_inline,
               no_sanitize("address", "thread", "undefined"))) inline long
RawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0,
           long e = 0, long f = 0) {
#if defined(__x86_64__)
  // System V psABI for x86-64, A.2.1.
  long result;
  register long fourth asm("r10") = d;
  register long fifth asm("r8") = e;
  register long sixth asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth),
                 "r"(sixth)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long which asm("x8") = number;
  register long first asm("x0") = a;
  register long second asm("x1") = b;
  register long third asm("x2") = c;
  register long fourth asm("x3") = d;
  register long fifth asm("x4") = e;
  register long sixth asm("x5") = f;
  asm volatile("svc #0"
               : "+r"(first)
               : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth),
                 "r"(sixth)
               : "memory");
  return first;
#else
#error "how this processor calls the system is not known here"
#endif
}

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_RAW_SYSCALL_H_

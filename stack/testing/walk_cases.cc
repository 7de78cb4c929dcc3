// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/testing/walk_cases.h"

#include <alloca.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#ifdef __clang__
#define INSTAR_OPTIMIZED __attribute__((noinline))
#define INSTAR_WITHOUT_FRAME_POINTER __attribute__((noinline))
#else
#define INSTAR_OPTIMIZED __attribute__((noinline, optimize("O2")))
#define INSTAR_WITHOUT_FRAME_POINTER \
  __attribute__((noinline, optimize("O2", "omit-frame-pointer")))
#endif

#if defined(__x86_64__)

asm(R"(
        .text
        .type instar_without_unwind_information, @function
        .globl instar_without_unwind_information
instar_without_unwind_information:
        pushq %rbp
        movq %rsp, %rbp
        movq %rdi, %rax
        movq %rsi, %rdi
        call *%rax
        popq %rbp
        ret
        .size instar_without_unwind_information, . - instar_without_unwind_information

        .type instar_unknown_base, @function
        .globl instar_unknown_base
instar_unknown_base:
        .cfi_startproc
        .cfi_undefined rip
        pushq %rbp
        movq %rdi, %rax
        movq %rsi, %rdi
        call *%rax
        popq %rbp
        ret
        .cfi_endproc
        .size instar_unknown_base, . - instar_unknown_base

        .type instar_intercepted, @function
        .globl instar_intercepted
instar_intercepted:
        .cfi_startproc
        call instar_thunk
        ret
        .cfi_endproc
        .size instar_intercepted, . - instar_intercepted

        .type instar_thunk, @function
instar_thunk:
        .cfi_startproc
        .cfi_def_cfa rsp, 16
        pushq %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_offset rbp, -24
        movq %rsp, %rbp
        .cfi_def_cfa_register rbp
        andq $-64, %rsp
        movq %rdi, %rax
        movq %rsi, %rdi
        call *%rax
        movq %rbp, %rsp
        popq %rbp
        .cfi_def_cfa rsp, 16
        ret
        .cfi_endproc
        .size instar_thunk, . - instar_thunk
)");

#elif defined(__aarch64__)

// There are no function entries, so that nothing is called at one.
asm(R"(
        .text
        .type instar_without_unwind_information, @function
        .globl instar_without_unwind_information
instar_without_unwind_information:
        stp x29, x30, [sp, #-16]!
        mov x29, sp
        mov x2, x0
        mov x0, x1
        blr x2
        ldp x29, x30, [sp], #16
        ret
        .size instar_without_unwind_information, . - instar_without_unwind_information

        .type instar_unknown_base, @function
        .globl instar_unknown_base
instar_unknown_base:
        .cfi_startproc
        .cfi_undefined x30
        stp x29, x30, [sp, #-16]!
        mov x2, x0
        mov x0, x1
        blr x2
        ldp x29, x30, [sp], #16
        ret
        .cfi_endproc
        .size instar_unknown_base, . - instar_unknown_base

        .type instar_intercepted, @function
        .globl instar_intercepted
instar_intercepted:
        brk #0
        .size instar_intercepted, . - instar_intercepted
)");

#endif

extern "C" void instar_unknown_base(void (*)(const void*), const void*);
extern "C" void instar_intercepted(void (*)(const void*), const void*);

namespace instar {
namespace {

// Compilers that optimize make the jump; what ThreadSanitizer adds undoes it.
#if defined(__SANITIZE_THREAD__) || \
    (defined(__clang__) && !defined(__OPTIMIZE__))
constexpr bool kTailCallsStay = true;
#else
constexpr bool kTailCallsStay = false;
#endif

thread_local volatile int sink;

void Run(const void* action) {
  (*static_cast<const Action*>(action))();
  sink = 1;
}

INSTAR_WITHOUT_FRAME_POINTER void WithoutFramePointer(const Action& action) {
  action();
  sink = 1;
}

INSTAR_OPTIMIZED void Aligned(const Action& action) {
  alignas(128) volatile char room[256];
  room[0] = 1;
  action();
  sink = room[0];
}

INSTAR_OPTIMIZED void AlignedWithAlloca(const Action& action) {
  alignas(128) volatile char room[256];
  room[0] = 1;
  volatile char* more = static_cast<volatile char*>(alloca(100 + sink));
  more[0] = 1;
  action();
  sink = room[0] + more[0];
}

__attribute__((noinline)) void Alloca(const Action& action) {
  volatile char* room = static_cast<volatile char*>(alloca(100 + sink));
  room[0] = 1;
  action();
  sink = room[0];
}

__attribute__((noinline)) void LargeFrame(const Action& action) {
  volatile char room[100000];
  room[0] = 1;
  action();
  sink = room[0];
}

__attribute__((noinline)) void Noexcept(const Action& action) noexcept {
  action();
  sink = 1;
}

__attribute__((noinline)) void WithHandler(const Action& action) {
  try {
    action();
  } catch (int) {
    sink = 2;
  }
  sink = 1;
}

void (*volatile tail_callee)(const Action&) = &UnoptimizedFrame;

INSTAR_OPTIMIZED void TailCall(const Action& action) { tail_callee(action); }

}  // namespace

const std::vector<WalkCase>& WalkCases() {
  static const std::vector<WalkCase>* const cases = new std::vector<WalkCase>{
      {"UnoptimizedFrame", &UnoptimizedFrame, true},
      {"WithoutFramePointer", &WithoutFramePointer, true},
      {"Aligned", &Aligned, true},
      {"AlignedWithAlloca", &AlignedWithAlloca, true},
      {"Alloca", &Alloca, true},
      {"LargeFrame", &LargeFrame, true},
      {"Noexcept", &Noexcept, true},
      {"WithHandler", &WithHandler, true},
      {"TailCall", &TailCall, kTailCallsStay},
  };
  return *cases;
}

__attribute__((noinline)) void UnoptimizedFrame(const Action& action) {
  action();
  sink = 1;
}

__attribute__((noinline)) void Recurse(int depth, const Action& action) {
  if (depth == 0) {
    action();
  } else {
    Recurse(depth - 1, action);
  }
  sink = depth;
}

void CallWithoutUnwindInformation(const Action& action) {
  instar_without_unwind_information(&Run, &action);
  sink = 1;
}

void CallFromUnknownBase(const Action& action) {
  instar_unknown_base(&Run, &action);
  sink = 1;
}

void CallFromEntryThunk(const Action& action) {
  instar_intercepted(&Run, &action);
  sink = 1;
}

__attribute__((noinline, no_sanitize("address", "thread"))) void CopyStack(
    char* to, std::uintptr_t from, std::size_t size) {
  const auto* bytes = reinterpret_cast<const volatile char*>(from);
  for (std::size_t i = 0; i < size; ++i) to[i] = bytes[i];
}

}  // namespace instar

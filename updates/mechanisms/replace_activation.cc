// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/replace_activation.h"

#include <unwind.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "stack/stack_walker.h"
#include "stack/unwind_safety.h"
#include "updates/mechanisms/internal/enter_successor.h"

#if defined(__SANITIZE_ADDRESS__)
#define INSTAR_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INSTAR_HAS_ASAN 1
#endif
#endif

#ifdef INSTAR_HAS_ASAN
extern "C" void __asan_handle_no_return();
#endif

namespace instar {
namespace updates_internal {
namespace {

// "INSTARUP": a foreign exception to everybody else.
constexpr _Unwind_Exception_Class kExceptionClass = 0x494e535441525550;

// Lives on the heap: the frames of whoever made it are unwound.
struct Unwinding {
  _Unwind_Exception exception = {};
  std::uintptr_t cfa = 0;
  Successor successor = {};
};

// A handler has swallowed the unwinding and has come to its end.
void Swallowed(_Unwind_Reason_Code, _Unwind_Exception* exception) {
  auto* const unwinding = reinterpret_cast<Unwinding*>(exception);
  unwinding->successor.drop(unwinding->successor.state);
  delete unwinding;
}

// Called for each frame before its cleanups run, with the registers as they are
// when that frame goes on. The first frame that is not to be unwound begins at
// the canonical frame address of the activation. Addresses of code are not
// asked: cleanups run in the function's .cold part.
__attribute__((no_sanitize("thread"))) _Unwind_Reason_Code StopAtCaller(
    int, _Unwind_Action actions, _Unwind_Exception_Class, _Unwind_Exception*,
    _Unwind_Context* context, void* argument) {
  auto* const unwinding = static_cast<Unwinding*>(argument);
  const std::uintptr_t sp = _Unwind_GetCFA(context);
  if (sp < unwinding->cfa && (actions & _UA_END_OF_STACK) == 0) {
    return _URC_NO_REASON;
  }
  INSTAR_CHECK(sp == unwinding->cfa)
      << "the unwinder does not see the frames that the stack walk saw";
  CallerRegisters registers = CallerRegistersAtCall(context, sp);
  const Successor successor = unwinding->successor;
  delete unwinding;
  SetCall(&registers, successor.enter, successor.return_slot, successor.state);
#ifdef INSTAR_HAS_ASAN
  __asan_handle_no_return();
#endif
  instar_enter_successor(&registers);
}

absl::Status CannotWalk(const Function& function, const WalkResult& walk) {
  return absl::UnavailableError(absl::StrCat(
      "the activations of ", function.name(),
      " are not known: ", walk.ToString(), "; try again at another point"));
}

std::string Place(std::uintptr_t pc) {
  const absl::StatusOr<Function> in = Function::Containing(pc);
  return in.ok() ? in->name() : absl::StrCat("code at 0x", absl::Hex(pc));
}

}  // namespace

// Not inlined: what is looked at begins with its caller, at a call, since what
// is unwound later begins there, too.
__attribute__((noinline)) absl::StatusOr<Activation> FindActivation(
    const Function& function, const ReplaceActivationOptions& options) {
  const auto* const own_frame =
      static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  const StackSnapshot here = SnapshotAtEntry(
      reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)),
      reinterpret_cast<std::uintptr_t>(__builtin_dwarf_cfa()), own_frame[0],
      StackOfCaller());
  if (!options.pass_c) PrepareToFindCFrames();
  const ActivationSearch search = SearchActivation(here, function, options);
  if (search.end != ActivationSearch::End::kFound) {
    return Explain(search, function);
  }
  return search.activation;
}

ActivationSearch SearchActivation(const StackSnapshot& stack,
                                  const Function& function,
                                  const ReplaceActivationOptions& options) {
  using End = ActivationSearch::End;
  ActivationSearch search;
  Activation& activation = search.activation;
  bool found = false;
  search.walk = WalkStack(stack, [&](const Frame& frame) {
    if (found) {
      activation.cfa = frame.sp;
      activation.frame.high = frame.sp;
      return false;
    }
    if (function.Contains(frame.lookup_pc)) {
      found = true;
      activation.frame.low = frame.sp;
    }
    return true;
  });
  if (activation.cfa == 0) {
    search.end = !search.walk.complete() ? End::kUnknown
                 : found                 ? End::kNoCaller
                                         : End::kNotActive;
    return search;
  }
  search.safety = CheckUnwindSafety(stack, activation.cfa);
  const UnwindSafety& safety = search.safety;
  if (safety.safe() && !options.pass_c) {
    if (const auto frame = FindCFrame(stack, activation.cfa)) {
      search.end = End::kThroughC;
      search.frame = *frame;
      return search;
    }
  }
  switch (safety.verdict) {
    case UnwindSafety::Verdict::kSafe:
      search.end = safety.catch_all_frames > 0 && !options.pass_catch_all
                       ? End::kCatchAll
                       : End::kFound;
      break;
    case UnwindSafety::Verdict::kUnsafe:
    case UnwindSafety::Verdict::kThroughC:
      search.end = End::kUnsafe;
      break;
    case UnwindSafety::Verdict::kUnknown:
      search.end = End::kUnknown;
      search.walk = safety.walk;
      break;
  }
  return search;
}

absl::Status Explain(const ActivationSearch& search, const Function& function) {
  using End = ActivationSearch::End;
  switch (search.end) {
    case End::kFound:
      return absl::OkStatus();
    case End::kNotActive:
      return absl::NotFoundError(absl::StrCat(
          function.name(), " is not active on the stack of the caller"));
    case End::kNoCaller:
      return absl::FailedPreconditionError(
          absl::StrCat(function.name(),
                       " has no caller that its successor could return "
                       "to: it is the base of the stack"));
    case End::kUnknown:
      return CannotWalk(function, search.walk);
    case End::kThroughC:
      return absl::FailedPreconditionError(absl::StrCat(
          "the activation of ", function.name(),
          " is not unwound: ", Place(search.frame.lookup_pc),
          " is on the way, and is C, whose locks nobody would release; if it "
          "owns nothing there, set pass_c"));
    case End::kUnsafe:
      return absl::FailedPreconditionError(absl::StrCat(
          "the activation of ", function.name(), " cannot be unwound: ",
          Place(search.safety.frame.lookup_pc), " is on the way (",
          search.safety.ToString(), "); try again at another point"));
    case End::kCatchAll:
      return absl::FailedPreconditionError(absl::StrCat(
          "a catch (...) in ", Place(search.safety.first_catch_all.lookup_pc),
          " may keep the unwinding of ", function.name(),
          "; if it rethrows, set pass_catch_all"));
  }
  return absl::OkStatus();
}

absl::Status CheckReturnSlot(const Activation& activation,
                             const StackBounds& stack, const void* slot) {
  const auto address = reinterpret_cast<std::uintptr_t>(slot);
  if (slot == nullptr ||
      (stack.Contains(address) && address < activation.cfa)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the return slot 0x", absl::Hex(address),
        " lies in what is unwound: the variable that was exposed is not the "
        "one that the function returns, or is not built in its place"));
  }
  return absl::OkStatus();
}

__attribute__((no_sanitize("thread"))) void UnwindAndEnter(
    const Activation& activation, const Successor& successor) {
  auto* const unwinding = new Unwinding;
  unwinding->exception.exception_class = kExceptionClass;
  unwinding->exception.exception_cleanup = &Swallowed;
  unwinding->cfa = activation.cfa;
  unwinding->successor = successor;
#ifdef INSTAR_HAS_ASAN
  __asan_handle_no_return();
#endif
  const _Unwind_Reason_Code code =
      _Unwind_ForcedUnwind(&unwinding->exception, &StopAtCaller, unwinding);
  INSTAR_FATAL() << "the stack could not be unwound, reason " << code;
  __builtin_unreachable();
}

}  // namespace updates_internal
}  // namespace instar

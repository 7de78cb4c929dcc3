// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/internal/cancellation_failure.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <unwind.h>

#include <cstdint>
#include <cstdio>
#include <exception>

#include "absl/debugging/symbolize.h"
#include "base/exception_table.h"
#include "base/fork_mutex.h"
#include "continuation/internal/control_block.h"

namespace instar {
namespace continuation_internal {
namespace {

std::terminate_handler previous_handler;

// The base address of the object that holds `pc`, or null.
const void* ObjectOf(std::uintptr_t pc) {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(pc), &info) != 0 ? info.dli_fbase
                                                         : nullptr;
}

// Finds who called std::terminate, or made the runtime call it.
struct Search {
  const void* const runtime =
      ObjectOf(reinterpret_cast<std::uintptr_t>(&abi::__cxa_get_globals));
  bool past_runtime = false;  // the frames before are the terminate handler's
  bool past_throw = false;    // the exception is still being thrown
  std::uintptr_t caller =
      0;  // an address in the first function past the runtime
  std::uintptr_t stopper = 0;  // in the first that stops what is being thrown
};

_Unwind_Reason_Code VisitFrame(_Unwind_Context* context, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  const std::uintptr_t pc = _Unwind_GetIP(context) - 1;
  const bool in_runtime = ObjectOf(pc) == search.runtime;
  const ExceptionEffect effect = EffectOnException(pc);
  if (search.past_throw && StopsException(effect.outcome)) {
    search.stopper = pc;
    return _URC_END_OF_STACK;
  }
  if (effect.function_start ==
      reinterpret_cast<std::uintptr_t>(&ThrowArrived)) {
    search.past_throw = true;
  }
  if (search.past_runtime && !in_runtime && search.caller == 0) {
    search.caller = pc;
  }
  search.past_runtime |= in_runtime;
  return _URC_NO_REASON;
}

// An address in the function because of which std::terminate was called. Either
// its exception table made the runtime call it, and then the exception is still
// being thrown; or one of its own cleanups called it, and then the throw is
// over.
std::uintptr_t FindCulprit() {
  Search search;
  _Unwind_Backtrace(&VisitFrame, &search);
  return search.stopper != 0 ? search.stopper : search.caller;
}

void OnTerminate() {
  const ControlBlock* const c = thread_state.current;
  if (c != nullptr && c->cancelling) {
    void* const culprit = reinterpret_cast<void*>(FindCulprit());
    char function[256];
    if (!absl::Symbolize(culprit, function, sizeof(function))) {
      std::snprintf(function, sizeof(function), "the function at %p", culprit);
    }
    std::fprintf(stderr,
                 "Instar: continulet '%.*s' cannot be cancelled: it is paused "
                 "inside %s, which no exception may leave (a noexcept function "
                 "or a destructor)\n",
                 static_cast<int>(c->name_length), c->name, function);
  }
  previous_handler();
}

}  // namespace

void ExplainFailedCancellations() {
  static ForkOnce<bool> installed;
  installed.Get([] {
    // It may be installed already, by a thread of the parent of this process.
    if (std::get_terminate() == &OnTerminate) return true;
    // Known before it is needed: another thread may terminate at any moment.
    previous_handler = std::get_terminate();
    std::set_terminate(&OnTerminate);
    return true;
  });
}

}  // namespace continuation_internal
}  // namespace instar

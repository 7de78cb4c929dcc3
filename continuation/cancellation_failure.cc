// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/cancellation_failure.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <unwind.h>

#include <cstdint>
#include <cstdio>
#include <exception>

#include "absl/debugging/symbolize.h"
#include "base/exception_table.h"
#include "continuation/control_block.h"

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

// Walks from std::terminate to the function that called it, or that made the
// runtime call it.
struct Search {
  const void* cxx_runtime =
      ObjectOf(reinterpret_cast<std::uintptr_t>(&abi::__cxa_get_globals));
  const void* unwinder =
      ObjectOf(reinterpret_cast<std::uintptr_t>(&_Unwind_RaiseException));
  // The exception is still on its way: its thrower is among the frames.
  bool throwing = false;
  bool past_runtime = false;
  std::uintptr_t culprit = 0;  // an address in the function
};

_Unwind_Reason_Code VisitFrame(_Unwind_Context* context, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  const std::uintptr_t pc = _Unwind_GetIP(context) - 1;
  const void* const object = ObjectOf(pc);
  if (object == search.unwinder) search.throwing = true;
  if (object == search.cxx_runtime || object == search.unwinder) {
    search.past_runtime = true;
    return _URC_NO_REASON;
  }
  // The frames before are the terminate handler's.
  if (!search.past_runtime) return _URC_NO_REASON;
  // A cleanup in the function itself has called std::terminate, or else the
  // function's exception table has made the runtime call it.
  if (search.throwing && !StopsException(EffectOnException(pc).outcome)) {
    return _URC_NO_REASON;
  }
  search.culprit = pc;
  return _URC_END_OF_STACK;
}

void OnTerminate() {
  const ControlBlock* const c = thread_state.current;
  if (c != nullptr && c->cancelling) {
    Search search;
    _Unwind_Backtrace(&VisitFrame, &search);
    char function[256];
    if (search.culprit == 0 ||
        !absl::Symbolize(reinterpret_cast<void*>(search.culprit), function,
                         sizeof(function))) {
      std::snprintf(function, sizeof(function), "the function at %p",
                    reinterpret_cast<void*>(search.culprit));
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
  static const bool installed = [] {
    previous_handler = std::set_terminate(&OnTerminate);
    return true;
  }();
  static_cast<void>(installed);
}

}  // namespace continuation_internal
}  // namespace instar

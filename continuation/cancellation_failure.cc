// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/cancellation_failure.h"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>

#include "absl/debugging/symbolize.h"
#include "base/exception_table.h"
#include "continuation/control_block.h"

namespace instar {
namespace continuation_internal {
namespace {

// Where the latest cancellation on this thread would be stopped, or 0. That a
// table makes it possible does not mean that it happens: only the terminate
// handler knows.
thread_local std::uintptr_t suspected_pc = 0;

std::terminate_handler previous_handler;

void OnTerminate() {
  const ControlBlock* const c = thread_state.current;
  if (c != nullptr && c->cancelling) {
    char function[256] = "a function";
    if (suspected_pc != 0) {
      absl::Symbolize(reinterpret_cast<void*>(suspected_pc - 1), function,
                      sizeof(function));
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

void ExplainTerminationFromHere() {
  static const bool installed = [] {
    previous_handler = std::set_terminate(&OnTerminate);
    return true;
  }();
  static_cast<void>(installed);
  const std::optional<UnsafeFrame> frame = FrameThatTerminates();
  suspected_pc = frame.has_value() ? frame->pc : 0;
}

}  // namespace continuation_internal
}  // namespace instar

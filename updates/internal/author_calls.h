// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Calls of what the author of an update wrote: an exception that leaves it is
// an error of the update, not of the program.

#ifndef INSTAR_UPDATES_INTERNAL_AUTHOR_CALLS_H_
#define INSTAR_UPDATES_INTERNAL_AUTHOR_CALLS_H_

#include <exception>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/forced_unwind.h"
#include "base/no_allocation.h"
#include "threads/attempt.h"

namespace instar {
namespace updates_internal {

// What an exception says is allocated, and it is freed, as the author's code
// allocates, also while threads are held (base/no_allocation.h).
INSTAR_CATCHES_FORCED_UNWIND inline absl::Status CallAuthor(
    absl::FunctionRef<absl::Status()> function) {
  std::optional<AuthorsCode> its_exception;
  try {
    return function();
  } catch (const std::exception& exception) {
    its_exception.emplace();
    return absl::InternalError(
        absl::StrCat("an exception was thrown: ", exception.what()));
  } catch (const abi::__forced_unwind&) {
    throw;  // the thread ends, by pthread_exit() or pthread_cancel()
  } catch (...) {
    its_exception.emplace();
    return absl::InternalError(
        "an exception was thrown that is no std::exception");
  }
}

inline Attempt TryAuthor(absl::FunctionRef<Attempt()> function) {
  Attempt attempt = Attempt::Done();
  absl::Status status = CallAuthor([&] {
    attempt = function();
    return absl::OkStatus();
  });
  return status.ok() ? attempt : Attempt::Failed(std::move(status));
}

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_AUTHOR_CALLS_H_

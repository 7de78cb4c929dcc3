// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An error with a text, made where nothing may be allocated
// (base/no_allocation.h): the text is put aside, and added later.
//
//   absl::Status Write() {
//     if (...) return ErrorWithText(absl::StatusCode::kUnavailable,
//                                   "membarrier() failed: %s", why);
//   }
//
//   absl::Status status;
//   {
//     const NoAllocation others_are_held;
//     status = Write();               // Unavailable, without a text
//   }
//   return WithText(std::move(status));
//
// Anywhere else it is an error with its text at once. What was put aside is of
// the thread: the latest few, cut after some hundred bytes.

#ifndef INSTAR_BASE_ERROR_TEXT_H_
#define INSTAR_BASE_ERROR_TEXT_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "base/no_allocation.h"

namespace instar {
namespace base_internal {

inline constexpr std::size_t kMostErrorText = 480;

// Room for the text of an error with this code.
char* PutErrorTextAside(absl::StatusCode code);

}  // namespace base_internal

template <typename... Args>
absl::Status ErrorWithText(absl::StatusCode code,
                           const absl::FormatSpec<Args...>& format,
                           const Args&... args) {
  if (!NoAllocation::IsOnThisThread()) {
    return absl::Status(code, absl::StrFormat(format, args...));
  }
  absl::SNPrintF(base_internal::PutErrorTextAside(code),
                 base_internal::kMostErrorText, format, args...);
  return absl::Status(code, "");  // which allocates nothing
}

// The error with the text that was put aside for it, if it has none.
absl::Status WithText(absl::Status error);
// The same where the text is to be a part of another one. Valid until the next
// error on this thread.
const char* TextOf(const absl::Status& error);

}  // namespace instar

#endif  // INSTAR_BASE_ERROR_TEXT_H_

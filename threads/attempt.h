// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an update function answers.
//
//   if (!quiescent) return Attempt::NotYet("DoCommand is active, frame 2");
//   if (!status.ok()) return Attempt::Failed(status);
//   return Attempt::Done();
//
// Not yet: nothing has been changed, and it is tried again at a later update
// point (PyMoult (HotSWUP'13), section 2.1: "if the checking fails the update
// function will be re-executed at next point"). Failed: it is given up.
//
// Threads: a value type.

#ifndef INSTAR_THREADS_ATTEMPT_H_
#define INSTAR_THREADS_ATTEMPT_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"

namespace instar {

class Attempt {
 public:
  static Attempt Done() { return Attempt(Kind::kDone, "", absl::OkStatus()); }

  static Attempt NotYet(std::string reason) {
    return Attempt(Kind::kNotYet, std::move(reason), absl::OkStatus());
  }

  // `status` must not be OK.
  static Attempt Failed(absl::Status status) {
    INSTAR_CHECK(!status.ok()) << "an attempt that failed needs an error";
    std::string reason(status.message());
    return Attempt(Kind::kFailed, std::move(reason), std::move(status));
  }

  bool is_done() const { return kind_ == Kind::kDone; }
  bool is_not_yet() const { return kind_ == Kind::kNotYet; }
  bool is_failed() const { return kind_ == Kind::kFailed; }

  // Why not yet, or the message of the failure; empty if done.
  const std::string& reason() const { return reason_; }
  // The failure; OK if done or not yet.
  const absl::Status& status() const { return status_; }

 private:
  enum class Kind { kDone, kNotYet, kFailed };

  Attempt(Kind kind, std::string reason, absl::Status status)
      : kind_(kind), reason_(std::move(reason)), status_(std::move(status)) {}

  Kind kind_;
  std::string reason_;
  absl::Status status_;
};

}  // namespace instar

#endif  // INSTAR_THREADS_ATTEMPT_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Says that this thread holds others: any of them may own any lock, so the
// library allocates and frees nothing until they have been released, however
// that ends.
//
//   {
//     const NoAllocation others_are_held;
//     ... hold threads, look at them, change something ...
//     {
//       const AuthorsCode allowed;   // code of the program, or of an update
//       hook();
//     }
//     ... let them go ...
//   }
//   ... now say what came of it ...
//
// It forbids nothing by itself: a checked program's allocator asks
// IsOnThisThread(), and ends the program (base/testing/checked_world.h).
// Author's code may allocate. It runs only where no thread is held that could
// own a lock of the allocator (threads/internal/may_stay_interrupted.h), which
// is no reason to rely on that where it is not needed. It may take no lock that
// a thread which is held may own: a checked program's locks ask
// AuthorsPart::Running().
//
// Threads: of the calling thread. IsOnThisThread() and Running() are
// async-signal-safe. Scopes nest.

#ifndef INSTAR_BASE_NO_ALLOCATION_H_
#define INSTAR_BASE_NO_ALLOCATION_H_

#include <utility>

namespace instar {

class NoAllocation {
 public:
  NoAllocation() { ++depth_; }
  ~NoAllocation() { --depth_; }
  NoAllocation(const NoAllocation&) = delete;
  NoAllocation& operator=(const NoAllocation&) = delete;

  static bool IsOnThisThread() { return depth_ != 0; }

 private:
  friend class AuthorsCode;
  friend class AuthorsPart;

  static __thread int depth_ __attribute__((tls_model("initial-exec")));
};

// Where one is open, leaves it for a while.
class AuthorsCode {
 public:
  AuthorsCode() : before_(std::exchange(NoAllocation::depth_, 0)) {
    if (before_ != 0) ++depth_;
  }
  ~AuthorsCode() {
    if (before_ != 0) --depth_;
    NoAllocation::depth_ = before_;
  }
  AuthorsCode(const AuthorsCode&) = delete;
  AuthorsCode& operator=(const AuthorsCode&) = delete;

 private:
  friend class AuthorsPart;

  // Of those that have left a NoAllocation.
  static __thread int depth_ __attribute__((tls_model("initial-exec")));

  const int before_;
};

// What the author's code within it is part of, for messages: "swap the routing
// table". Null: the locks that are taken within it are owned by no thread that
// is held, whatever that is part of.
class AuthorsPart {
 public:
  explicit AuthorsPart(const char* name) : outer_(std::exchange(name_, name)) {}
  ~AuthorsPart() { name_ = outer_; }
  AuthorsPart(const AuthorsPart&) = delete;
  AuthorsPart& operator=(const AuthorsPart&) = delete;

  // Of the innermost on this thread, while it holds others and runs code of an
  // author; otherwise null.
  static const char* Running() {
    return AuthorsCode::depth_ != 0 && NoAllocation::depth_ == 0 ? name_
                                                                 : nullptr;
  }
  // Whatever runs.
  static const char* Innermost() { return name_; }

 private:
  static __thread const char* name_ __attribute__((tls_model("initial-exec")));

  const char* const outer_;
};

}  // namespace instar

#endif  // INSTAR_BASE_NO_ALLOCATION_H_

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
// It forbids nothing by itself: a test's allocator asks IsOnThisThread(), and
// ends the test. Author's code may allocate. It runs only where no thread is
// held that could own a lock of the allocator
// (threads/internal/may_stay_interrupted.h), which is no reason to rely on that
// where it is not needed.
//
// Threads: of the calling thread. IsOnThisThread() is async-signal-safe. Scopes
// nest.

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

  static __thread int depth_ __attribute__((tls_model("initial-exec")));
};

// Where one is open, leaves it for a while.
class AuthorsCode {
 public:
  AuthorsCode() : before_(std::exchange(NoAllocation::depth_, 0)) {}
  ~AuthorsCode() { NoAllocation::depth_ = before_; }
  AuthorsCode(const AuthorsCode&) = delete;
  AuthorsCode& operator=(const AuthorsCode&) = delete;

 private:
  const int before_;
};

}  // namespace instar

#endif  // INSTAR_BASE_NO_ALLOCATION_H_

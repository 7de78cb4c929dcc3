// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks for what a caller did wrong.
//
//   INSTAR_CHECK(depth < kMaxDepth) << "depth is " << depth;
//
// A check that does not hold prints its file, line, condition and message to
// standard error and aborts, in every build mode. What the world can do wrong
// (files, sockets, another program's module) is no matter for a check: that is
// an absl::Status.
//
// Threads: may be used from any thread. Not async-signal-safe: the message is
// built on the heap.

#ifndef INSTAR_BASE_CHECK_H_
#define INSTAR_BASE_CHECK_H_

#include <sstream>

#define INSTAR_CHECK(condition)                                       \
  (__builtin_expect(static_cast<bool>(condition), 1))                 \
      ? (void)0                                                       \
      : ::instar::base_internal::Voidify() &                          \
            ::instar::base_internal::CheckFailure(__FILE__, __LINE__, \
                                                  #condition)         \
                .stream()

// A check that costs too much for a program in production: it holds in builds
// without -c opt only.
#ifdef NDEBUG
#define INSTAR_DCHECK(condition) \
  while (false) INSTAR_CHECK(condition)
#else
#define INSTAR_DCHECK(condition) INSTAR_CHECK(condition)
#endif

// Ends the program with a message, where no condition is left to test.
#define INSTAR_FATAL() \
  ::instar::base_internal::CheckFailure(__FILE__, __LINE__, nullptr).stream()

namespace instar {
namespace base_internal {

// Collects the message of a failed check; its destructor prints and aborts.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  CheckFailure(const CheckFailure&) = delete;
  CheckFailure& operator=(const CheckFailure&) = delete;
  [[noreturn]] ~CheckFailure();

  std::ostream& stream() { return message_; }

 private:
  std::ostringstream message_;
};

// Gives the failing branch of the conditional operator the type of the other.
struct Voidify {
  void operator&(std::ostream&) {}
};

}  // namespace base_internal
}  // namespace instar

#endif  // INSTAR_BASE_CHECK_H_

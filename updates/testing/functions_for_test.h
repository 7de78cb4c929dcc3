// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions compiled as updatable code is, in versions, for the tests of
// updates. Those that can be redefined on every processor are named without an
// `&` (code/updatable_function.h).

#ifndef INSTAR_UPDATES_TESTING_FUNCTIONS_FOR_TEST_H_
#define INSTAR_UPDATES_TESTING_FUNCTIONS_FOR_TEST_H_

#include <atomic>
#include <functional>

#include "code/updatable_function.h"

namespace instar {
namespace updates_test {

// Version N returns 100 * N + a.
INSTAR_UPDATABLE_FUNCTION(int, Price, (int a));
int Price2(int a);
int Price3(int a);
int OfDouble(double a);
long LongPrice(int a);  // returns another type
extern "C" int instar_test_plain_c(int a);

// Calls at() at depth n of a recursion; returns n, version 2 returns -n.
int Depth(int n, const std::function<void()>& at);
int Depth2(int n, const std::function<void()>& at);

// Two functions that must change together: what Send() gives, Receive() must
// understand. Relay() returns 0 if it did, and calls `between` in between.
INSTAR_UPDATABLE_FUNCTION(int, Send, (int a));
INSTAR_UPDATABLE_FUNCTION(int, Receive, (int a));
int Send2(int a);
int Receive2(int a);
INSTAR_UPDATABLE_FUNCTION(int, Relay,
                          (int a, const std::function<void()>& between));
int Relay2(int a, const std::function<void()>& between);

class Site {
 public:
  virtual ~Site() = default;
  virtual int Render(int scale) const;
  int Total(int scale);
  int Total2(int scale);

  int size = 3;
};
int NewRender(const Site* site, int scale);

// Takes some microseconds; returns a + 1, Dwell2() a + 2.
int Dwell(int a);
int Dwell2(int a);

// Calls Price() at least once, and until `*stop`. Returns how many answers were
// neither of the first version nor of the second. Most of the time it is
// outside: with several, many moments are without a call.
long CallPrice(const volatile bool* stop);
// The same of Dwell(1). No moment is without a call when several do it.
long CallDwell(const volatile bool* stop);

// Two versions, and which of them may begin. Each counts its beginnings, and
// those that came when it was not its time.
struct Beats {
  std::atomic<bool> is_time_of_second{false};
  std::atomic<long> count{0};
  std::atomic<long> untimely{0};
};
extern Beats beats;
void Beat();
void Beat2();

}  // namespace updates_test
}  // namespace instar

#endif  // INSTAR_UPDATES_TESTING_FUNCTIONS_FOR_TEST_H_

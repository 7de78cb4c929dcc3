// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/testing/functions_for_test.h"

namespace instar {
namespace updates_test {

INSTAR_UPDATABLE_FUNCTION_BODY(int, Price, (int a)) { return 100 + a; }
int Price2(int a) { return 200 + a; }
int Price3(int a) { return 300 + a; }
long LongPrice(int a) { return 400 + a; }
int OfDouble(double a) { return static_cast<int>(a); }
extern "C" int instar_test_plain_c(int a) { return a; }

int Depth(int n, const std::function<void()>& at) {
  if (n == 0) {
    at();
    return 0;
  }
  const int rest = Depth(n - 1, at);
  asm volatile("");  // so that the compiler leaves it a recursion
  return rest + 1;
}
int Depth2(int n, const std::function<void()>& at) {
  if (n == 0) at();
  return -n;
}

INSTAR_UPDATABLE_FUNCTION_BODY(int, Send, (int a)) { return a * 2; }
INSTAR_UPDATABLE_FUNCTION_BODY(int, Receive, (int a)) { return a / 2; }
int Send2(int a) { return a * 3; }
int Receive2(int a) { return a / 3; }
INSTAR_UPDATABLE_FUNCTION_BODY(int, Relay,
                               (int a, const std::function<void()>& between)) {
  const int sent = Send(a);
  between();
  return Receive(sent) - a;
}
int Relay2(int a, const std::function<void()>& between) {
  between();
  return Receive(Send(a)) - a;
}

int Site::Render(int scale) const { return size * scale; }
int Site::Total(int scale) { return size + scale; }
int Site::Total2(int scale) { return size + scale + 1000; }
int NewRender(const Site* site, int scale) { return -site->size * scale; }

int Dwell(int a) {
  for (int i = 0; i < 20000; ++i) asm volatile("");
  return a + 1;
}
int Dwell2(int a) {
  for (int i = 0; i < 20000; ++i) asm volatile("");
  return a + 2;
}

long CallPrice(const volatile bool* stop) {
  long wrong = 0;
  do {
    for (int i = 0; i < 50; ++i) asm volatile("");
    const int price = Price(7);
    if (price != 107 && price != 207) ++wrong;
  } while (!*stop);
  return wrong;
}

long CallDwell(const volatile bool* stop) {
  long wrong = 0;
  do {
    const int result = Dwell(1);
    if (result != 2 && result != 3) ++wrong;
  } while (!*stop);
  return wrong;
}

Beats beats;
void Beat() {
  if (beats.is_time_of_second.load(std::memory_order_relaxed)) ++beats.untimely;
  beats.count.fetch_add(1, std::memory_order_relaxed);
}
void Beat2() {
  if (!beats.is_time_of_second.load(std::memory_order_relaxed)) {
    ++beats.untimely;
  }
  beats.count.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace updates_test
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program of its own: loops, and which points they come to. Its points count,
// and the early ones throw at the time that was set. plugin_test.sh compiles it
// and compares what it prints.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

extern "C" {
std::atomic<int> instar_loop_attention{1};
}

int early = 0, inline_points = 0, late = 0, throw_at = 0;

namespace instar {
namespace threads_internal {

void EarlyLoopPoint();
void InlineLoopPoint() noexcept;
void LateLoopPoint() noexcept;

void EarlyLoopPoint() {
  if (++early == throw_at) throw 1;
}
void InlineLoopPoint() noexcept { ++inline_points; }
void LateLoopPoint() noexcept { ++late; }

}  // namespace threads_internal
}  // namespace instar

unsigned long table[64];
unsigned long sum = 0;

struct Destroyed {
  const char* what;
  ~Destroyed() { std::printf("~%s ", what); }
};

void Endless() {
  const Destroyed destroyed{"Endless"};
  unsigned i = 0;
  while (true) sum += table[i++ & 63];
}

// Throws nothing but what the plugin puts there.
static void EndlessInside() {
  unsigned i = 0;
  for (;;) sum += table[i++ & 63];
}
void EndlessBelow() {
  const Destroyed destroyed{"EndlessBelow"};
  EndlessInside();
}

template <typename T>
void CountIn(T& n) {
  while (n.load() < 5000) n.store(n.load() + 1);
}
void InTemplate() {
  std::atomic<int> n{0};
  CountIn(n);
}

// Instar's own: they have none, inlined or not.
namespace instar {
template <typename T>
void CountInLibrary(T& n) {
  while (n.load() < 5000) n.store(n.load() + 1);
}
}  // namespace instar
void InLibrary() {
  std::atomic<int> n{0};
  instar::CountInLibrary(n);
}

// Of a system header, and inlined if anything is.
void InSystemHeader() {
  const std::vector<unsigned long> numbers(5000, sum);
  sum += std::count_if(numbers.begin(), numbers.end(),
                       [](unsigned long number) { return number % 3 == 0; });
}

void Counted() {
  unsigned long product = 1;
  for (unsigned long i = 0; i < 100000; ++i) product += table[i & 63] * i;
  sum += product;
}

void Short() {
  for (int i = 0; i < 64; ++i) sum += table[i];
}

void DoForEver() {
  const Destroyed destroyed{"DoForEver"};
  int n = 0;
  do {
    if (n > 100) break;
    n += 1;
    const std::string text("longer than what has room in a string itself");
    sum += text.size();
  } while (true);
}

void OverRange() {
  const std::vector<std::string> texts(
      100, "longer than what has room in a string itself");
  const Destroyed destroyed{"OverRange"};
  for (const std::string& each : texts) {
    const std::string text = each;
    if (text.size() == 3) continue;
    sum += text.size();
  }
}

void ByGoto() {
  int n = 0;
again:
  if (++n < 5000) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    goto again;
  }
}

[[gnu::no_instrument_function]] void Without() {
  for (int i = 0; i < 5000; ++i) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

// A constant expression has no points.
constexpr int Factorial(int n) {
  int result = 1;
  for (int i = 2; i <= n; ++i) result *= i;
  return result;
}
static_assert(Factorial(5) == 120, "");

void Try(const char* what, void (*loop)(), int at) {
  early = inline_points = late = 0;
  throw_at = at;
  std::printf("%s: ", what);
  try {
    loop();
  } catch (int) {
    std::printf("left, ");
  }
  const auto some = [](int n) { return n == 0 ? "no" : "some"; };
  std::printf("%s early, %s inline, %s late\n", some(early),
              some(inline_points), some(late));
}

int main() {
  Try("endless", &Endless, 5);
  Try("endless below", &EndlessBelow, 7);
  Try(
      "endless lambda",
      [] {
        const Destroyed destroyed{"lambda"};
        while (true) ++sum;
      },
      3);
  Try("do for ever", &DoForEver, 50);
  Try("over range", &OverRange, 50);
  Try("template", &InTemplate, 1);
  Try("library", &InLibrary, 1);
  Try("system header", &InSystemHeader, 1);
  Try("counted", &Counted, 0);
  Try("short", &Short, 0);
  Try("goto", &ByGoto, 1);
  Try("without", &Without, 1);
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/activation_test/replace_activation_cases.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "stack/exposed_values.h"

namespace instar {
namespace INSTAR_CASES {
namespace {

// A frame between the function and the point, with something to destroy.
__attribute__((noinline)) void Between() {
  Tracer tracer("between");
  std::vector<int> memory(100);
  Point();
  asm volatile("" : : "r"(memory.data()) : "memory");
}

__attribute__((noinline)) void NoexceptBetween() noexcept {
  Point();
  asm volatile("" ::: "memory");
}

struct PointInDestructor {
  ~PointInDestructor() {
    Point();
    asm volatile("" ::: "memory");
  }
};

}  // namespace

void FillList(std::vector<int>& list, int size) {
  Tracer tracer("FillList");
  int next = 0;
  std::vector<int>* const target = &list;
  ExposedValue expose_list("list", target);
  ExposedValue expose_next("next", next);
  for (; next < size; ++next) {
    list.push_back(next);
    Between();
  }
}

long CallFillList(std::vector<int>& list, int size) {
  Tracer tracer("CallFillList");
  // More values than there are registers that calls preserve.
  long a = size, b = a * 3, c = b ^ 5, d = c + a, e = d * b, f = e - 7, g = f;
  asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
  FillList(list, size);
  asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
  return a + b + c + d + e + f + g;
}

double Average(double a, double b) {
  Tracer tracer("Average");
  double sum = a + b;
  ExposedValue expose_sum("sum", sum);
  Between();
  return sum / 2;
}

double CallAverage(double a) {
  const double before = a * 3;
  return Average(a, 2.0) + before;
}

Pair Split(double a) {
  Tracer tracer("Split");
  ExposedValue expose_a("a", a);
  Between();
  return Pair{static_cast<long>(a),
              a - static_cast<double>(static_cast<long>(a))};
}

Pair CallSplit(double a) {
  Pair pair = Split(a);
  pair.whole += 1;
  return pair;
}

int& Choose(int& a) {
  Tracer tracer("Choose");
  Between();
  return a;
}

std::string Spell(int n) {
  std::string result = "old";
  std::string other = "other";
  ExposedValue expose_result("result", result);
  ExposedValue expose_other("other", other);
  ExposedValue expose_n("n", n);
  Between();
  result += std::to_string(n);
  return result;
}

std::string CallSpell(int n) {
  const std::string spelled = Spell(n);
  return "<" + spelled + ">";
}

int Depth(int n) {
  Tracer tracer("Depth");
  ExposedValue expose_n("n", n);
  if (n == 0) {
    Between();
    return 0;
  }
  return 1 + Depth(n - 1);
}

int WithNoexceptAbove(int n) {
  NoexceptBetween();
  return n;
}

int WithDestructorAbove(int n) {
  { PointInDestructor point; }
  return n;
}

int WithRethrowAbove(int n) {
  try {
    Between();
  } catch (...) {
    destroyed.push_back("rethrow");
    throw;
  }
  return n;
}

int WithSwallowerAbove(int n) {
  try {
    Between();
  } catch (...) {
    destroyed.push_back("swallow");
  }
  return n;
}

int InHandler(int n) {
  try {
    throw std::runtime_error("in flight");
  } catch (const std::runtime_error&) {
    Between();
  }
  return n;
}

int CallInHandler(int n) {
  const int result = InHandler(n);
  return std::current_exception() == nullptr ? result : -1;
}

int CallAndCatch(int n) {
  Tracer tracer("CallAndCatch");
  try {
    return Depth(n);
  } catch (const std::runtime_error&) {
    return -7;
  }
}

int Counter::Count(int n) {
  Counter& self = *this;
  ExposedValue expose_self("self", self);
  for (int i = 0; i < n; ++i) {
    ++total;
    Between();
  }
  return total;
}

}  // namespace INSTAR_CASES
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/update_test/shop.h"

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "inline.h"

static int counter = 100;
static thread_local int tls_calls = 7;
thread_local int shared_tls = 40;
static std::string MakeText(const char* s) { return s; }
std::string text_at_start = MakeText("initial");
int tuned = 5;
static const int kTable[] = {1, 2, 3, 4, 5, 6, 7, 8};

namespace {
struct Oops {
  int code;
};
struct Local : Base {
  int price(int item) override { return item + counter; }
  int extra = 3;
};
int hidden_stock = 50;
}  // namespace

int Base::price(int item) { return item * 2; }
Base::~Base() {}

void bump() {
  counter++;
  tls_calls++;
  hidden_stock += 10;
}

__attribute__((noinline)) static int scale(int x) {
  hidden_stock++;
  return x * counter;
}
__attribute__((noinline)) static int negate(int x) { return -x - counter; }

std::string report() { return "old: counter=" + std::to_string(counter); }

int classify(int x) {
  switch (x) {
    case 0:
      return scale(1);
    case 1:
      std::puts("  one");
      return 1;
    case 2:
      bump();
      return 2;
    case 3:
      return negate(3);
    case 4:
      return counter + 4;
    case 5:
      std::puts("  five");
      return scale(5);
  }
  return -1;
}

int guarded() {
  static std::string log = MakeText("first");
  log += ".";
  return static_cast<int>(log.size());
}

int catches(int x) {
  try {
    if (x > 2) throw Oops{x};
    return x;
  } catch (const Oops& o) {
    return o.code;
  }
}

int thrower(int x) {
  std::string guard(40, 'a' + x);
  call_back(negate, x);
  return static_cast<int>(guard.size());
}

__attribute__((cold, noinline)) static void complain(int x) {
  std::printf("  complain %d\n", x);
}
int rare(int x) {
  if (__builtin_expect(x > 1000, 0)) {
    complain(x);
    throw std::runtime_error("rare");
  }
  return x + 1;
}

int use_inline(int x) { return shared_inline(x) + twice(x); }

int thread_calls() { return tls_calls; }

int use_callback(int x) {
  call_back(scale, x);
  return 0;
}

int virtual_total(Base* b) { return b->price(1); }

int total_of_table(int i) { return kTable[i & 7]; }

Base* make_local() { return new Local; }
int is_local(Base* b) { return dynamic_cast<Local*>(b) ? 1 : 0; }

std::string global_text() { return text_at_start + std::to_string(tuned); }
void check_positive(int x) {
  assert(x >= 0);
  if (x == 4711) throw Oops{x};
}

int pair() { return ++first_of_pair * 100 + second_of_pair++; }

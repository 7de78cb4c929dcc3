// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/update_test/shop.h"

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "inline.h"

// One more line, so that lines move.
static int counter = 100;
static int added_static = 11;  // new, static
int added_global = 22;         // new, global
static thread_local int added_tls = 33;

void check_positive(int x);
static thread_local int tls_calls = 7;
thread_local int shared_tls = 40;
static std::string MakeText(const char* s) { return s; }
std::string text_at_start = MakeText("initial");
int tuned = 6;
static const int kTable[] = {1, 2, 333, 4, 5, 6, 7, 8};

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

struct Rating {
  virtual const char* stars() { return "***"; }
  virtual ~Rating() {}
};  // a new class with a vtable
static int added_function(int x) {
  static int calls = 0;
  return ++calls + x + added_static++;
}
int added_extern(int x) {
  added_global++;
  return added_function(x) + added_global;
}

std::string report() {
  Rating rating;
  Rating* volatile r = &rating;
  counter += 1000;  // the program's own variable
  return "NEW: counter=" + std::to_string(counter) +
         " added=" + std::to_string(added_extern(0)) +
         " hidden=" + std::to_string(hidden_stock) + " " + r->stars();
}

int classify(int x) {
  switch (x) {
    case 0:
      return scale(1);
    case 1:
      std::puts("  ONE (new string)");
      return 11;
    case 2:
      bump();
      return 2;
    case 3:
      return negate(3);
    case 4:
      return counter + 4;
    case 5:
      std::puts("  five");
      return scale(50);
    case 6: {
      auto twice_plus = [&](int y) { return scale(y) + x; };
      return twice_plus(2) + twice_plus(3);
    }
  }
  return -1;
}

int guarded() {
  static std::string log = MakeText("first");
  log += "+++";
  return static_cast<int>(log.size());
}

int catches(int x) {
  try {
    if (x > 2) check_positive(4711);  // an Oops from unchanged code
    if (x == 1) throw Oops{77};       // and one of our own
    return x;
  } catch (const Oops& o) {
    return o.code + 1;
  }
}

int thrower(int x) {
  std::string guard(40, 'a' + x);
  std::printf("  new thrower\n");
  call_back(negate, x);
  return static_cast<int>(guard.size());
}

__attribute__((cold, noinline)) static void complain(int x) {
  std::printf("  complain %d\n", x);
}
int rare(int x) {
  if (__builtin_expect(x > 1000, 0)) {
    complain(x);
    throw std::runtime_error("rare, new");
  }
  return x + 2;
}

int use_inline(int x) { return shared_inline(x) + twice(x); }

int thread_calls() {
  shared_tls++;
  return tls_calls += 1000;
}
int thread_added() { return ++added_tls; }

int use_callback(int x) {
  call_back(scale, x);
  call_back(added_function, x);
  call_back([](int y) { return y * counter; }, x);
  return thread_added();
}

int virtual_total(Base* b) { return b->price(1) * 100 + b->price(2); }

int total_of_table(int i) { return kTable[i & 7]; }

Base* make_local() { return new Local; }
int is_local(Base* b) {
  return dynamic_cast<Local*>(b) ? 10 + dynamic_cast<Local*>(b)->extra : 0;
}

std::string global_text() { return text_at_start + std::to_string(tuned); }
void check_positive(int x) {
  assert(x >= 0);
  if (x == 4711) throw Oops{x};
}

int pair() { return ++first_of_pair * 100 + second_of_pair++ + 1000; }

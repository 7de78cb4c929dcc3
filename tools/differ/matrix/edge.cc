// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What compilers and linkers do in many ways: thread-local variables, calls and
// pointers through tables, a function's own address. VERSION says which build
// it is.

extern "C" int puts(const char*);
extern thread_local int shared_tls;
int outer(int n);
int thrower(int n);

static int counter = 100;
static thread_local int own_tls = 5;
static thread_local int own_calls = 0;

extern "C" void* own_address(int n) {
  counter += n * VERSION;
  return reinterpret_cast<void*>(&own_address);
}

__attribute__((noinline)) static void* hidden_address(int n) {
  counter += 10 * n * VERSION;
  return n == 77 ? nullptr : reinterpret_cast<void*>(&hidden_address);
}
void* call_hidden(int n) { return hidden_address(n); }

int thread_locals() {
  own_tls += VERSION;
  own_calls += 7;
  shared_tls += 2 * VERSION;
  return own_tls * 1000 + shared_tls + own_calls;
}

#if VERSION > 1
static thread_local int fresh_tls = 70;
thread_local int known_tls = 700;
__attribute__((noinline)) int added(int n) {
  return n * 1000 + ++fresh_tls + ++known_tls;
}
#endif

int through_tables(int n) {
  puts(VERSION == 1 ? "  one" : "  two");
#if VERSION > 1
  n += added(n);
#endif
  return outer(n) + VERSION;
}

int tail_call(int n) {
  counter += VERSION;
  return outer(n + VERSION);
}

int catches(int n) {
  try {
    return thrower(n);
  } catch (int thrown) {
    return thrown + 1000 * VERSION;
  }
}

extern int (*const kTable[])(int);
int (*const kTable[])(int) = {outer, tail_call, catches};
int by_table(int n) { return kTable[n % 3](n) * VERSION; }

int choice(int n) {
  switch (n) {
    case 0:
      return outer(n) + 10 * VERSION;
    case 1:
      return counter;
    case 2:
      return tail_call(n) * VERSION;
    case 3:
      return VERSION;
    case 4:
      return outer(VERSION);
    default:
      return -VERSION;
  }
}

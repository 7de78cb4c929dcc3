// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that stays as it is while its library goes through three builds.
// Commands on standard input: show, load FILE, undo.

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "tools/differ/testing/commands.h"
#include "tools/differ/update_test/shop.h"

int (*kept_pointer)(int) = classify;

void call_back(int (*f)(int), int x) {
  const int got = f(x);
  std::printf("  call_back: f(%d) = %d\n", x, got);
  if (x == 9) throw std::runtime_error("from call_back");
}

namespace {

void Show(Base* local, Base* base) {
  bump();
  std::printf("report: %s\n", report().c_str());
  for (int i = 0; i < 7; i++) {
    std::printf("classify(%d) = %d\n", i, kept_pointer(i));
  }
  std::printf("guarded: %d\n", guarded());
  std::printf("catches: %d %d\n", catches(1), catches(8));
  try {
    std::printf("thrower: %d\n", thrower(1));
    thrower(9);
  } catch (const std::exception& e) {
    std::printf("thrown through: %s\n", e.what());
  }
  try {
    std::printf("rare: %d\n", rare(1));
    rare(5000);
  } catch (const std::exception& e) {
    std::printf("caught: %s\n", e.what());
  }
  std::printf("use_inline: %d\n", use_inline(3));
  std::printf("other_count: %d\n", other_count());
  int in_thread = 0;
  std::thread([&] { in_thread = thread_calls(); }).join();
  std::printf("thread_calls: here %d, in a new thread %d, shared %d\n",
              thread_calls(), in_thread, shared_tls);
  use_callback(4);
  std::printf("virtual: %d %d is_local %d %d\n", virtual_total(local),
              virtual_total(base), is_local(local), is_local(base));
  std::printf("table: %d\n", total_of_table(2));
  std::printf("c: %d %d\n", c_step(1), c_name(2));
  std::printf("utils: %d %d\n", a_util(1), b_util(1));
  std::printf("pair: %d\n", pair());
  std::printf("text: %s\n", global_text().c_str());
}

}  // namespace

int main() {
  const std::unique_ptr<Base> local(make_local());
  Base base;
  instar::RunCommands([&](const std::string&) { Show(local.get(), &base); });
  return 0;
}

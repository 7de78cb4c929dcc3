// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/foreign_stacks.h"

#include <sched.h>

#include <atomic>
#include <utility>

#include "base/at_fork.h"
#include "base/check.h"
#include "base/linux/thread_registers.h"

namespace instar {
namespace {

constexpr int kMostVisitors = 64;

// Null where there is none. All sequentially consistent: a visit counts itself
// before it reads a place, and whoever takes a visitor away clears the place
// before it reads the count.
std::atomic<ForeignStacks::Visitor*> g_visitors[kMostVisitors] = {};
std::atomic<int> g_visits{0};

// Of the threads that were at a visit, none is in the child.
[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(ForkOrder::kForeign,
                  {nullptr, nullptr, [] { g_visits.store(0); }});
}

// False if one of them cannot tell.
bool VisitAll(ForeignStacks::Yield yield) {
  bool all = true;
  g_visits.fetch_add(1);
  for (std::atomic<ForeignStacks::Visitor*>& place : g_visitors) {
    ForeignStacks::Visitor* const visitor = place.load();
    if (visitor != nullptr && !(*visitor)(yield)) all = false;
  }
  g_visits.fetch_sub(1);
  return all;
}

}  // namespace

ForeignStacks::ForeignStacks(Visitor visitor)
    : visitor_(std::make_unique<Visitor>(std::move(visitor))) {
  INSTAR_CHECK(*visitor_ != nullptr) << "a visitor is needed";
  for (std::atomic<Visitor*>& place : g_visitors) {
    Visitor* none = nullptr;
    if (place.compare_exchange_strong(none, visitor_.get())) return;
  }
  INSTAR_FATAL() << "more than " << kMostVisitors
                 << " ForeignStacks are alive; one is enough for all fibers of "
                    "a scheduler";
}

ForeignStacks::~ForeignStacks() {
  for (std::atomic<Visitor*>& place : g_visitors) {
    Visitor* mine = visitor_.get();
    if (place.compare_exchange_strong(mine, nullptr)) break;
  }
  while (g_visits.load() != 0) sched_yield();
}

PausedContext RunningStack(std::uintptr_t low, std::uintptr_t high) {
  PausedContext context;
  context.stack_low = low;
  context.stack_high = high;
  context.is_foreign = true;
  return context;
}

PausedContext PausedUcontext(const ucontext_t& context) {
  const auto low = reinterpret_cast<std::uintptr_t>(context.uc_stack.ss_sp);
  PausedContext paused = RunningStack(low, low + context.uc_stack.ss_size);
  const ThreadRegisters registers = RegistersOf(context);
  paused.pc = registers.pc;
  paused.sp = registers.sp;
  paused.fp = registers.fp;
  return paused;
}

namespace continuation_internal {

void VisitForeignStacks(absl::FunctionRef<void(const ForeignStack&)> visit) {
  const bool all = VisitAll([&](const ForeignStack& stack) {
    if (stack.context.pc != 0) visit(stack);
  });
  if (!all) visit({PausedContext(), "fibers of which nobody can tell now"});
}

std::optional<ForeignBounds> FindForeignStack(std::uintptr_t address) {
  std::optional<ForeignBounds> found;
  VisitAll([&](const ForeignStack& stack) {
    if (address >= stack.context.stack_low &&
        address < stack.context.stack_high) {
      found = ForeignBounds{stack.context.stack_low, stack.context.stack_high};
    }
  });
  return found;
}

}  // namespace continuation_internal
}  // namespace instar

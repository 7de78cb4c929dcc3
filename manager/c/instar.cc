// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/c/instar.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/version.h"
#include "code/function_entry.h"
#include "code/symbols/function.h"
#include "heap/shadow/internal/address_table.h"
#include "manager/manager.h"
#include "manager/program_health.h"
#include "stack/exposed_values.h"
#include "stack/stack_snapshot.h"
#include "threads/attempt.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/internal/snapshot_at_call.h"
#include "threads/update_point.h"
#include "updates/mechanisms/shadow_data.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

static_assert(sizeof(instar_module_entry) ==
                      sizeof(instar::UpdateModuleEntry) &&
                  offsetof(instar_module_entry, c_plan) ==
                      offsetof(instar::UpdateModuleEntry, c_plan),
              "the two are one");

namespace instar {
namespace {

using threads_internal::BlockingRegion;

// What a value of C is exposed as: C has no typeid.
struct ExposedInC {
  void* address;
  std::size_t size;
};

struct ExposedNodeInC {
  ExposedInC value;
  ExposedValue<ExposedInC> node;

  ExposedNodeInC(const char* name, void* address, std::size_t size)
      : value{address, size}, node(name, value) {}
};

static_assert(sizeof(BlockingRegion) <= sizeof(instar_region) &&
              alignof(BlockingRegion) <= alignof(instar_region));
static_assert(sizeof(ExposedNodeInC) <= sizeof(instar_exposed) &&
              alignof(ExposedNodeInC) <= alignof(instar_exposed));

// Of the last error on this thread.
const char* Keep(absl::string_view message) {
  thread_local char kept[2048];
  std::snprintf(kept, sizeof(kept), "%.*s", static_cast<int>(message.size()),
                message.data());
  return kept;
}

absl::string_view OrEmpty(const char* text) {
  return text == nullptr ? absl::string_view() : absl::string_view(text);
}

ThreadKind KindOf(instar_thread_kind kind) {
  return kind == INSTAR_ACTIVE ? ThreadKind::kActive : ThreadKind::kPassive;
}

UpdatePlan& PlanOf(instar_plan* plan) {
  return *reinterpret_cast<UpdatePlan*>(plan);
}

// The pointer in it is one for us, and nothing for C. Whoever loads it acquires
// the table that TableAt() has released.
std::atomic<heap_internal::AddressTable*>& TableOf(instar_shadow* shadow) {
  using Table = std::atomic<heap_internal::AddressTable*>;
  static_assert(sizeof(Table) == sizeof(shadow->table) &&
                Table::is_always_lock_free);
  return *reinterpret_cast<Table*>(&shadow->table);
}

void EndInC(void* data, void* shadow) {
  auto* const end = static_cast<instar_shadow*>(shadow)->end;
  if (end != nullptr) end(data);
  std::free(data);
}

heap_internal::AddressTable& MakeTableOf(instar_shadow* shadow) {
  return heap_internal::TableAt(TableOf(shadow), shadow->name, &EndInC, shadow);
}

UpdatePlan::Hook HookOf(instar_hook hook, void* argument) {
  if (hook == nullptr) return nullptr;
  return [hook, argument] {
    const char* const error = hook(argument);
    return error == nullptr ? absl::OkStatus() : absl::InternalError(error);
  };
}

using Main = void (*)(void*);

ThreadMain MainOf(Main main, instar_hook capture, void* argument) {
  RebootOptions through_c;
  through_c.through_c = true;
  if (main == nullptr) return nullptr;
  if (capture == nullptr) {
    return ThreadMain([main, argument] { main(argument); }).With(through_c);
  }
  const auto captured = [capture,
                         argument](const HeldThread&) -> absl::StatusOr<void*> {
    const char* const error = capture(argument);
    if (error != nullptr) return absl::NotFoundError(error);
    return argument;
  };
  return MainWith(main, captured).With(through_c);
}

}  // namespace
}  // namespace instar

using instar::Keep;
using instar::OrEmpty;
using instar::PlanOf;
using instar::threads_internal::BlockingRegion;

const char* instar_version(void) { return instar::Version(); }

const char* instar_start(const char* name) {
  static std::mutex& lock = *new std::mutex;
  static instar::Manager* manager = nullptr;  // under the lock
  const std::lock_guard<std::mutex> guard(lock);
  if (manager != nullptr) return Keep("this process has a manager already");
  // Defined by libinstar_agent.so, if that is there.
  const auto* const agent =
      static_cast<const char**>(dlsym(RTLD_DEFAULT, "instar_agent_in_charge"));
  if (agent != nullptr && *agent != nullptr) {
    return Keep(absl::StrCat("this process has a manager already, that of ",
                             *agent,
                             "; start the program without the agent, "
                             "or let it start none"));
  }
  instar::ManagerOptions options;
  options.name = std::string(OrEmpty(name));
  // By which the manager goes, as at any other end.
  options.when_program_has_ended = [] { std::exit(0); };
  absl::StatusOr<instar::Manager> started =
      instar::Manager::Start(std::move(options));
  if (!started.ok()) return Keep(started.status().message());
  manager = new instar::Manager(*std::move(started));
  std::atexit([] { delete manager; });
  return nullptr;
}

void instar_count_requests(unsigned long long count) {
  instar::CountRequests(count);
}

void instar_count_errors(unsigned long long count) {
  instar::CountErrors(count);
}

void instar_run_controlled(const char* name, enum instar_thread_kind kind,
                           void (*main)(void* argument), void* argument) {
  instar::RunControlled(std::string(OrEmpty(name)), instar::KindOf(kind),
                        [main, argument] { main(argument); });
}

void instar_update_point(const char* name) {
  if (name == nullptr || *name == '\0') {
    instar::UpdatePoint();
  } else {
    instar::UpdatePoint(name);
  }
}

// As NoUpdateScope. Only this thread writes it.
void instar_no_update_begin(void) {
  auto& depth = instar::threads_internal::this_thread.no_update_depth;
  depth.store(depth.load(std::memory_order_relaxed) + 1,
              std::memory_order_relaxed);
}

void instar_no_update_end(void) {
  auto& depth = instar::threads_internal::this_thread.no_update_depth;
  depth.store(depth.load(std::memory_order_relaxed) - 1,
              std::memory_order_relaxed);
}

INSTAR_WITH_FRAME_POINTER void instar_blocking_enter(instar_region* region,
                                                     const char* name) {
  const int saved_errno = errno;
  new (region) BlockingRegion(instar::threads_internal::WakeupBySignal(),
                              OrEmpty(name), INSTAR_SNAPSHOT_AT_MY_CALL());
  errno = saved_errno;
}

INSTAR_WITH_FRAME_POINTER int instar_blocking_leave(instar_region* region) {
  const int saved_errno = errno;
  auto* const entered = reinterpret_cast<BlockingRegion*>(region);
  const absl::string_view point = entered->point();
  const bool had_entered = entered->entered();
  const bool woken = had_entered && entered->LeaveQuietly();
  // Before a reboot is thrown from here: C destroys nothing.
  entered->~BlockingRegion();
  if (had_entered) {
    BlockingRegion::RunWhatWaits(point, INSTAR_SNAPSHOT_AT_MY_CALL());
  }
  errno = saved_errno;
  return woken ? 1 : 0;
}

void instar_expose(instar_exposed* exposed, const char* name, void* value,
                   size_t size) {
  new (exposed) instar::ExposedNodeInC(name, value, size);
}

void instar_expose_end(instar_exposed* exposed) {
  reinterpret_cast<instar::ExposedNodeInC*>(exposed)->~ExposedNodeInC();
}

void* instar_find_exposed(const char* name, size_t size) {
  const absl::StatusOr<instar::ExposedInC*> found =
      instar::FindExposed<instar::ExposedInC>(OrEmpty(name));
  return found.ok() && (*found)->size == size ? (*found)->address : nullptr;
}

void* instar_shadow_find(const instar_shadow* shadow, const void* object) {
  const instar::heap_internal::AddressTable* const table =
      instar::TableOf(const_cast<instar_shadow*>(shadow))
          .load(std::memory_order_acquire);
  return table == nullptr ? nullptr : table->Find(object);
}

void* instar_shadow_attach(instar_shadow* shadow, void* object) {
  void* const found = instar_shadow_find(shadow, object);
  if (found != nullptr) return found;
  void* const made = std::calloc(1, std::max<std::size_t>(shadow->size, 1));
  if (made == nullptr) return nullptr;
  try {
    void* const attached = instar::MakeTableOf(shadow).Add(object, made);
    // As if it had not been: `end` is for what was attached.
    if (attached != made) std::free(made);
    return attached;
  } catch (const std::bad_alloc&) {
    std::free(made);
    return nullptr;
  }
}

void* instar_shadow_replace(instar_shadow* shadow, void* object) {
  void* const made = std::calloc(1, std::max<std::size_t>(shadow->size, 1));
  if (made == nullptr) return nullptr;
  void* before;
  try {
    before = instar::MakeTableOf(shadow).Exchange(object, made);
  } catch (const std::bad_alloc&) {
    std::free(made);
    return nullptr;
  }
  if (before != nullptr) instar::EndInC(before, shadow);
  return made;
}

int instar_shadow_detach(instar_shadow* shadow, const void* object) {
  instar::heap_internal::AddressTable* const table =
      instar::TableOf(shadow).load(std::memory_order_acquire);
  return table != nullptr && table->EndOf(object) ? 1 : 0;
}

void instar_shadow_detach_all_of(const void* object) {
  instar::heap_internal::AddressTable::EndInAllTables(object);
}

size_t instar_shadow_size(const instar_shadow* shadow) {
  const instar::heap_internal::AddressTable* const table =
      instar::TableOf(const_cast<instar_shadow*>(shadow))
          .load(std::memory_order_acquire);
  return table == nullptr ? 0 : table->size();
}

void instar_shadow_end(instar_shadow* shadow) {
  delete instar::TableOf(shadow).exchange(nullptr, std::memory_order_acq_rel);
}

instar_code instar_original(instar_code function) {
  return instar::Original(function);
}

void instar_plan_redefine(instar_plan* plan, instar_code from, instar_code to) {
  PlanOf(plan).Redefine(from, to);
}

void instar_plan_redefine_named(instar_plan* plan, const char* from,
                                instar_code to) {
  PlanOf(plan).RedefineUntyped(instar::Function::Named(OrEmpty(from)),
                               reinterpret_cast<const void*>(to));
}

void instar_plan_ignore_inlined_copies(instar_plan* plan) {
  PlanOf(plan).IgnoreInlinedCopies();
}

void instar_plan_before(instar_plan* plan, instar_hook hook, instar_hook undo,
                        void* argument) {
  PlanOf(plan).Before(instar::HookOf(hook, argument),
                      instar::HookOf(undo, argument));
}

void instar_plan_after(instar_plan* plan, instar_hook hook, instar_hook undo,
                       void* argument) {
  PlanOf(plan).After(instar::HookOf(hook, argument),
                     instar::HookOf(undo, argument));
}

void instar_plan_when(instar_plan* plan, const char* (*ready)(void* argument),
                      void* argument) {
  if (ready == nullptr) return PlanOf(plan).When(nullptr);
  PlanOf(plan).When([ready, argument] {
    const char* const reason = ready(argument);
    return reason == nullptr ? instar::Attempt::Done()
                             : instar::Attempt::NotYet(reason);
  });
}

void instar_plan_at_update_point(instar_plan* plan, const char* name) {
  PlanOf(plan).AtUpdatePoint(std::string(OrEmpty(name)));
}

void instar_plan_only_registered_threads(instar_plan* plan) {
  PlanOf(plan).OnlyRegisteredThreads();
}

void instar_plan_shadow(instar_plan* plan, instar_shadow* shadow) {
  PlanOf(plan).Add(instar::updates_internal::MakeShadowData(
      shadow->name, [shadow] { instar_shadow_end(shadow); }));
}

void instar_plan_reboot(instar_plan* plan, const char* thread_name,
                        void (*main)(void* argument),
                        void (*undone)(void* argument), instar_hook capture,
                        void* argument) {
  PlanOf(plan).Reboot(std::string(OrEmpty(thread_name)),
                      instar::MainOf(main, capture, argument),
                      instar::MainOf(undone, nullptr, argument));
}

void instar_plan_start_thread(instar_plan* plan, const char* name,
                              enum instar_thread_kind kind,
                              void (*main)(void* argument), void* argument) {
  std::function<void()> started;
  if (main != nullptr) started = [main, argument] { main(argument); };
  if (kind == INSTAR_ACTIVE) {
    PlanOf(plan).StartActiveThread(std::string(OrEmpty(name)),
                                   std::move(started));
  } else {
    PlanOf(plan).StartPassiveThread(std::string(OrEmpty(name)),
                                    std::move(started));
  }
}

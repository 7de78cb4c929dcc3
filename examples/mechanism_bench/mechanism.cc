// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/mechanism_bench/mechanism.h"

#include <chrono>
#include <thread>

#include "code/redefinable.h"
#include "examples/mechanism_bench/program.h"
#include "heap/lazy_proxy.h"
#include "threads/attempt.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/thread_updates.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace mechanism_bench {
namespace {

using instar::Attempt;
using instar::Update;
using instar::UpdatePlan;
using Pointer = std::unique_ptr<Update>;

class FunctionProgram final : public Program {
 public:
  FunctionProgram(std::function<std::uint64_t(std::uint64_t)> request,
                  std::function<absl::Status()> apply,
                  std::function<absl::Status()> undo)
      : request_(std::move(request)),
        apply_(std::move(apply)),
        undo_(std::move(undo)) {}

  std::uint64_t Request(std::uint64_t seed) override { return request_(seed); }
  absl::Status Apply() override { return apply_(); }
  absl::Status Undo() override { return undo_(); }

 private:
  const std::function<std::uint64_t(std::uint64_t)> request_;
  const std::function<absl::Status()> apply_;
  const std::function<absl::Status()> undo_;
};

instar::ApplyOptions Patiently() {
  instar::ApplyOptions options;
  options.timeout = std::chrono::minutes(1);
  return options;
}

// A program that calls a function, and an Update of it.
std::unique_ptr<Program> Calling(
    std::function<std::uint64_t(std::uint64_t)> function, Pointer update) {
  std::shared_ptr<Update> shared = std::move(update);
  return ProgramOf(
      std::move(function), [shared] { return shared->Apply(Patiently()); },
      [shared] { return shared->Undo(Patiently()); });
}

absl::Status UntilDone(std::function<Attempt()> attempt) {
  const auto until = std::chrono::steady_clock::now() + Patiently().timeout;
  while (true) {
    const Attempt tried = attempt();
    if (tried.is_done()) return absl::OkStatus();
    if (tried.is_failed()) return tried.status();
    if (std::chrono::steady_clock::now() >= until) {
      return absl::DeadlineExceededError(tried.reason());
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

std::unique_ptr<Program> RedefinedAtARendezvous() {
  UpdatePlan plan("rendezvous");
  plan.Redefine(&Work, &NextWork);
  return Calling(&Work, MakeUpdate(std::move(plan)));
}

// A program that calls the function, all of whose threads are stopped by
// signals when that is changed.
std::unique_ptr<Program> StoppedBySignal(
    std::shared_ptr<instar::Mechanism> mechanism,
    std::chrono::nanoseconds forced_quiescence) {
  instar::ChangeOptions options(instar::Stacks::kAllThreads);
  options.forced_quiescence = forced_quiescence;
  instar::Change update(std::move(mechanism), options);
  return ProgramOf(
      &Work,
      [update]() mutable { return UntilDone([&] { return update.Apply(); }); },
      [update]() mutable { return UntilDone([&] { return update.Undo(); }); });
}

// Some thread is inside of the function whenever one looks: whoever is goes on
// in the old version, or new calls wait until nobody is.
std::unique_ptr<Program> RedefinedBySignal() {
  return StoppedBySignal(instar::RedefineAtOnce(&Work, &NextWork),
                         std::chrono::nanoseconds(0));
}
std::unique_ptr<Program> RedefinedBySignalForced() {
  return StoppedBySignal(instar::Redefine(&Work, &NextWork),
                         std::chrono::seconds(1));
}

std::unique_ptr<Program> RedefinedByASlot() {
  static auto* const slot =
      new instar::Redefinable<std::uint64_t(std::uint64_t)>(&Work);
  UpdatePlan plan("slot");
  plan.Redefine(*slot, &NextWork);
  return Calling([](std::uint64_t seed) { return (*slot)(seed); },
                 MakeUpdate(std::move(plan)));
}

std::unique_ptr<Program> RedefinedPerThread() {
  instar::ThreadUpdates threads("per thread");
  threads.Add(kWorker, instar::Redefine(&Work, &NextWork));
  return Calling(&Work, MakeUpdate(std::move(threads)));
}

// A program that uses objects, each request another one.
template <typename Owner>
std::unique_ptr<Program> Using(std::size_t objects, Pointer update) {
  using Item = std::decay_t<decltype(*std::declval<Owner&>())>;
  auto items = std::make_shared<std::vector<Owner>>();
  for (std::size_t i = 0; i < objects; ++i) {
    items->push_back(Owner(std::make_unique<Item>()));
  }
  const auto request = [items](std::uint64_t seed) {
    return (*items)[seed % items->size()]->Use(seed);
  };
  const auto nothing = [] { return absl::OkStatus(); };
  if (update == nullptr) return ProgramOf(request, nothing, nothing);
  return Calling(request, std::move(update));
}

template <typename Convert>
Pointer Converting(const char* name, Convert convert) {
  UpdatePlan plan(name);
  convert(plan);
  return MakeUpdate(std::move(plan));
}

}  // namespace

std::unique_ptr<Program> ProgramOf(
    std::function<std::uint64_t(std::uint64_t)> request,
    std::shared_ptr<instar::Mechanism> mechanism) {
  UpdatePlan plan("own");
  plan.Add(std::move(mechanism));
  return Calling(std::move(request), MakeUpdate(std::move(plan)));
}

std::unique_ptr<Program> ProgramOf(
    std::function<std::uint64_t(std::uint64_t)> request,
    std::function<absl::Status()> apply, std::function<absl::Status()> undo) {
  return std::make_unique<FunctionProgram>(std::move(request), std::move(apply),
                                           std::move(undo));
}

std::vector<Mechanism> AllMechanisms(std::size_t objects) {
  const auto nothing = [] { return absl::OkStatus(); };
  const auto convert = [objects](const char* name, auto owner, auto how) {
    using Owner = typename decltype(owner)::type;
    return [=] { return Using<Owner>(objects, Converting(name, how)); };
  };
  struct Plain {
    using type = std::unique_ptr<Item>;
  };
  struct Proxy {
    using type = instar::LazyUnique<Item>;
  };
  return {
      {"plain function", "function",
       [=] { return ProgramOf(&PlainWork, nothing, nothing); }},
      {"redefine at a rendezvous", "function", &RedefinedAtARendezvous},
      {"redefine by signal, at once", "function", &RedefinedBySignal},
      {"redefine by signal, forced", "function", &RedefinedBySignalForced},
      {"redefine a slot at a rendezvous", "function", &RedefinedByASlot},
      {"redefine at each thread's own point", "function", &RedefinedPerThread},
      {"plain class", "class",
       [=] { return Using<std::unique_ptr<PlainItem>>(objects, nullptr); }},
      {"convert eagerly", "class",
       convert("eager", Plain(),
               [](UpdatePlan& p) { p.ConvertEagerly<Item, NextItem>(); })},
      {"convert lazily", "class",
       convert("lazy", Proxy(),
               [](UpdatePlan& p) { p.ConvertLazily<Item, NextItem>(); })},
      {"convert progressively", "class",
       convert(
           "progressive", Proxy(),
           [](UpdatePlan& p) { p.ConvertProgressively<Item, NextItem>(); })},
  };
}

}  // namespace mechanism_bench

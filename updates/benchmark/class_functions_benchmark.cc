// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What it costs to find the functions of a class, and to prepare and to apply
// a plan that converts two classes and redefines a function; in a program whose
// objects have been preloaded (PreloadClassFunctions()).

#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "benchmark/benchmark.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "heap/updatable.h"
#include "updates/mechanisms/class_functions.h"
#include "updates/mechanisms/convert_test/class_functions_for_test.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using namespace updates_test;  // NOLINT: the functions under test

struct Item : Updatable<Item> {
  virtual int Version() const { return 1; }
};
struct ItemV2 : Item {
  explicit ItemV2(Item&& old) noexcept : Item(std::move(old)) {}
  int Version() const override { return 2; }
};

void Preload() {
  static const bool once = [] {
    PreloadNames();
    PreloadClassFunctions();
    return true;
  }();
  static_cast<void>(once);
}

void Find(benchmark::State& state) {
  Preload();
  for (auto _ : state) {
    auto found = FunctionsOfVersions<Store, StoreV2>();
    if (!found.ok()) std::abort();
    state.counters["functions"] =
        static_cast<double>(found->functions().size());
  }
}
BENCHMARK(Find)->Name("find_class_functions/instar");

// The names alone, without the index: what the index saves.
void LookAtAllNames(benchmark::State& state) {
  Preload();
  for (auto _ : state) {
    benchmark::DoNotOptimize(FindFunctions([](absl::string_view name) {
      return name.find("5Store") != name.npos;
    }));
  }
}
BENCHMARK(LookAtAllNames)->Name("find_class_functions/all_names");

std::unique_ptr<Update> MakePlan() {
  UpdatePlan plan("ratings");
  plan.ConvertLazily<Item, ItemV2>();
  plan.ConvertEagerly<Store, StoreV2>();
  plan.Redefine(Price, &Price2);
  return MakeUpdate(std::move(plan));
}

void PreparePlan(benchmark::State& state) {
  Preload();
  Store store("one");
  for (auto _ : state) {
    const auto update = MakePlan();
    if (!update->Prepare().ok()) std::abort();
  }
}
BENCHMARK(PreparePlan)->Name("prepare_plan/instar");

void ApplyPlan(benchmark::State& state) {
  Preload();
  auto store = std::make_unique<Store>("one");
  auto update = MakePlan();
  for (auto _ : state) {
    state.PauseTiming();
    if (!update->Prepare().ok()) std::abort();
    state.ResumeTiming();
    if (!update->Apply({}).ok()) std::abort();
    state.PauseTiming();
    if (!update->Undo({}).ok()) std::abort();
    state.ResumeTiming();
  }
}
BENCHMARK(ApplyPlan)->Name("apply_prepared_plan/instar");

void NewPlan(benchmark::State& state) {
  Preload();
  auto store = std::make_unique<Store>("one");
  for (auto _ : state) {
    auto update = MakePlan();
    if (!update->Apply({}).ok()) std::abort();
    state.PauseTiming();
    if (!update->Undo({}).ok()) std::abort();
    update.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(NewPlan)->Name("apply_new_plan/instar");

}  // namespace
}  // namespace instar

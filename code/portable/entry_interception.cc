// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where functions have no entries (code/entries_here.h): nobody is called.

#include "code/entry_interception.h"

#include <utility>

#include "code/entries_here.h"

std::atomic<int> instar_loop_attention{0};

namespace instar {

// None is ever made.
struct EntryInterception::State {};

absl::StatusOr<EntryInterception> EntryInterception::OfAll(OtherThreads) {
  return CheckFunctionEntries();
}

absl::StatusOr<EntryInterception> EntryInterception::Of(
    absl::Span<const Function>, OtherThreads) {
  return CheckFunctionEntries();
}

absl::StatusOr<EntryInterception> EntryInterception::WithGate(
    absl::Span<const Function>, EntryGate, OtherThreads) {
  return CheckFunctionEntries();
}

absl::StatusOr<EntryInterception> EntryInterception::WithLookup(
    absl::Span<const Function>, OtherThreads) {
  return CheckFunctionEntries();
}

absl::StatusOr<EntryInterception> EntryInterception::PrepareAll() {
  return CheckFunctionEntries();
}

absl::Status EntryInterception::Start(OtherThreads) {
  return CheckFunctionEntries();
}

absl::Status EntryInterception::Preload() { return CheckFunctionEntries(); }

absl::Status EntryInterception::Stop(OtherThreads) { return absl::OkStatus(); }

size_t EntryInterception::size() const { return 0; }

EntryInterception::EntryInterception(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
EntryInterception::EntryInterception(EntryInterception&&) noexcept = default;
EntryInterception& EntryInterception::operator=(
    EntryInterception&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
EntryInterception::~EntryInterception() = default;

ScopedEntryInterceptor::ScopedEntryInterceptor(
    EntryInterceptor interceptor, const std::atomic<uint32_t>* wanted)
    : interceptor_(std::move(interceptor)),
      before_(nullptr),
      wanted_before_(reinterpret_cast<const uint32_t*>(wanted)) {}
ScopedEntryInterceptor::~ScopedEntryInterceptor() = default;

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where functions have no entries (code/entries_here.h): nothing is redirected.

#include "code/function_entry.h"

#include <cstddef>

#include "base/check.h"
#include "code/entries_here.h"

namespace instar {

// None is ever made.
struct Redirection::State {};

absl::StatusOr<Redirection> Redirection::Prepare(
    absl::Span<const EntryRedirection>, RedirectionOptions) {
  return CheckFunctionEntries();
}

absl::StatusOr<Redirection> Redirection::PrepareAt(
    absl::Span<const AddressRedirection>) {
  return CheckFunctionEntries();
}

absl::Status Redirection::Apply(OtherThreads) { return CheckFunctionEntries(); }
absl::Status Redirection::Undo(OtherThreads) { return CheckFunctionEntries(); }
bool Redirection::is_applied() const { return false; }

Redirection::Redirection(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
Redirection::Redirection(Redirection&&) noexcept = default;
Redirection& Redirection::operator=(Redirection&&) noexcept = default;
Redirection::~Redirection() = default;

uintptr_t RedirectedTo(const Function&) { return 0; }

std::uint64_t RedirectionTargetCount() { return 0; }

WipedVector<uintptr_t> AllRedirectionTargets(const Function&) { return {}; }

std::vector<WipedVector<uintptr_t>> AllRedirectionTargets(
    absl::Span<const Function> functions) {
  return std::vector<WipedVector<uintptr_t>>(functions.size());
}

absl::Status CheckUnused(uintptr_t, uintptr_t) { return absl::OkStatus(); }

std::vector<std::pair<uintptr_t, uintptr_t>> MemoryAbout(uintptr_t, uintptr_t) {
  return {};
}

void ForgetImage(uintptr_t, uintptr_t) {}

namespace code_internal {

absl::StatusOr<Redirection> RedirectOne(const Function&, uintptr_t) {
  return CheckFunctionEntries();
}

uintptr_t OriginalAddress(const absl::StatusOr<Function>& function) {
  INSTAR_CHECK(function.ok()) << function.status();
  return function->entry();
}

}  // namespace code_internal
}  // namespace instar

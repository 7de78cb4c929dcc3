// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Carries the state of a global or static variable into that of the next
// version: state transfer.
//
//   std::vector<Price> prices;               // the new version's, in a module
//
//   plan.Add(Transfer<std::map<int, int>, std::vector<Price>>(
//       "shop::prices", &prices,
//       [](const std::map<int, int>& old, std::vector<Price>& to) {
//         for (const auto& [id, cents] : old) to.push_back({id, cents});
//         return absl::OkStatus();
//       }));
//   plan.Redefine(&Lookup, &NewLookup);      // which reads the new one
//
// The old variable is found by its name (code/symbols/variable.h), and its type
// is compared by its size; it is not changed. `to` gets what `convert` makes of
// it while threads stand still, and is as before if that fails. Functions that
// use the old variable must not be active: those that are redefined with it are
// not; others are named in `quiescent`, where one whose inlined copies are not
// known is an error.
//
// When the update is undone, `to` is put back to what it was before, and the
// old variable goes on with what it has had since: what the new version has
// changed is lost, which `check` says. With `back`, the old variable gets what
// that makes of `to`.
//
// New, and with `back` Old, are copied, and moved without exceptions.

#ifndef INSTAR_UPDATES_MECHANISMS_TRANSFER_H_
#define INSTAR_UPDATES_MECHANISMS_TRANSFER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "code/symbols/function.h"
#include "code/symbols/variable.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {
namespace updates_internal {

// What does not depend on the types. All of it is all or nothing.
struct TransferParts {
  std::string variable;
  std::vector<Function> quiescent;
  bool is_lost_by_undo = true;
  std::function<absl::Status()> find;
  std::function<absl::Status()> apply;
  std::function<void()> roll_back;  // apply(), at the same stop
  std::function<absl::Status()> undo;
  std::function<void()> redo;  // rolls undo() back
};
std::shared_ptr<Mechanism> MakeTransfer(TransferParts parts);

template <typename Old, typename New>
struct TransferState {
  TransferState(New* where,
                std::function<absl::Status(const Old&, New&)> function)
      : to(where), convert(std::move(function)) {}

  absl::Status Find(absl::string_view name) {
    const absl::StatusOr<Old*> found = FindVariable<Old>(name);
    if (!found.ok()) return found.status();
    from = *found;
    return absl::OkStatus();
  }
  absl::Status Apply() {
    New made = *to;
    absl::Status status = convert(*from, made);
    if (!status.ok()) return status;
    before = std::exchange(*to, std::move(made));
    return status;
  }
  // `to` as it was before Apply(); what it was is kept.
  void PutBack() { after = std::exchange(*to, *std::move(before)); }
  void Redo() { before = std::exchange(*to, *std::move(after)); }

  New* const to;
  const std::function<absl::Status(const Old&, New&)> convert;
  Old* from = nullptr;
  std::optional<New> before, after;
};

template <typename Old, typename New>
TransferParts PartsOf(absl::string_view variable,
                      std::shared_ptr<TransferState<Old, New>> state,
                      std::vector<Function> quiescent) {
  static_assert(std::is_nothrow_move_constructible_v<New> &&
                    std::is_nothrow_move_assignable_v<New>,
                "instar: what has been transferred must be put back without "
                "exceptions");
  TransferParts parts;
  parts.variable = std::string(variable);
  parts.quiescent = std::move(quiescent);
  parts.find = [state, name = parts.variable] { return state->Find(name); };
  parts.apply = [state] { return state->Apply(); };
  parts.roll_back = [state] { state->PutBack(); };
  parts.undo = [state] {
    state->PutBack();
    return absl::OkStatus();
  };
  parts.redo = [state] { state->Redo(); };
  return parts;
}

}  // namespace updates_internal

template <typename Old, typename New>
std::shared_ptr<Mechanism> Transfer(
    absl::string_view variable, New* to,
    std::function<absl::Status(const Old&, New&)> convert,
    std::vector<Function> quiescent = {}) {
  using State = updates_internal::TransferState<Old, New>;
  return updates_internal::MakeTransfer(updates_internal::PartsOf<Old, New>(
      variable, std::make_shared<State>(to, std::move(convert)),
      std::move(quiescent)));
}

template <typename Old, typename New>
std::shared_ptr<Mechanism> TransferBothWays(
    absl::string_view variable, New* to,
    std::function<absl::Status(const Old&, New&)> convert,
    std::function<absl::Status(const New&, Old&)> back,
    std::vector<Function> quiescent = {}) {
  static_assert(std::is_nothrow_move_constructible_v<Old> &&
                    std::is_nothrow_move_assignable_v<Old>,
                "instar: what has been transferred must be put back without "
                "exceptions");
  using State = updates_internal::TransferState<Old, New>;
  auto state = std::make_shared<State>(to, std::move(convert));
  auto parts = updates_internal::PartsOf<Old, New>(variable, state,
                                                   std::move(quiescent));
  parts.is_lost_by_undo = false;
  auto kept = std::make_shared<std::optional<Old>>();
  parts.undo = [state, kept, back = std::move(back)]() -> absl::Status {
    Old made = *state->from;
    absl::Status status = back(*state->to, made);
    if (!status.ok()) return status;
    *kept = std::exchange(*state->from, std::move(made));
    state->PutBack();
    return status;
  };
  parts.redo = [state, kept] {
    *state->from = *std::move(*kept);
    state->Redo();
  };
  return updates_internal::MakeTransfer(std::move(parts));
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_TRANSFER_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is behind every update mechanism, for users who write their own.
//
//   class SwapTable final : public Strategy {
//    public:
//     std::string name() const override { return "swap the routing table"; }
//     absl::Status Prepare() override { return Build(&next_); }
//     Attempt Try(UpdateContext& context) override {
//       const Activity activity = FindActivity(context.stack(), readers_);
//       if (!activity.quiescent()) return Attempt::NotYet(activity.ToString());
//       std::swap(table, next_);
//       return Attempt::Done();
//     }
//     Attempt Undo(UpdateContext&) override { ... }
//   };
//
//   auto strategy = std::make_shared<SwapTable>();
//   INSTAR_RETURN_IF_ERROR(strategy->Prepare());
//   SetUpdateFunction(thread, AsUpdateFunction(strategy)).Trigger();
//
// Open to it are the functions of the packages below: find and redirect
// functions (code/function_entry.h), walk stacks and ask for activity
// (stack/activity.h, stack/function_set.h), stop threads
// (updates/quiescence/when_quiescent.h), capture values
// (stack/exposed_values.h), reboot (UpdateContext::Reboot()).
//
// Contract:
//   - Prepare() checks and allocates; a refusal here leaves no trace. It is
//     called before the first Try(), by whoever starts the update, on any
//     thread. Calling it again must do no harm.
//   - Try() changes everything and answers Done, or changes nothing. It may be
//     called again after Not yet, and by several threads if it was given to
//     several; it is not called any more after Failed.
//   - Undo() takes back what Try() has done. The same rules.
// Both run in the thread, at its update point, in a continulet of their own.
// An exception that leaves them is a failure.

#ifndef INSTAR_UPDATES_STRATEGY_H_
#define INSTAR_UPDATES_STRATEGY_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "threads/attempt.h"
#include "threads/update_request.h"

namespace instar {

class Strategy {
 public:
  virtual ~Strategy() = default;

  // For people: what it does.
  virtual std::string name() const = 0;
  virtual absl::Status Prepare() = 0;
  virtual Attempt Try(UpdateContext& context) = 0;
  virtual Attempt Undo(UpdateContext& context) {
    static_cast<void>(context);
    return Attempt::Failed(
        absl::UnimplementedError(name() + " cannot be taken back"));
  }
};

// The strategy lives as long as the update function.
inline UpdateFunction AsUpdateFunction(std::shared_ptr<Strategy> strategy) {
  return [strategy = std::move(strategy)](UpdateContext& context) {
    return strategy->Try(context);
  };
}
inline UpdateFunction AsUndoFunction(std::shared_ptr<Strategy> strategy) {
  return [strategy = std::move(strategy)](UpdateContext& context) {
    return strategy->Undo(context);
  };
}

}  // namespace instar

#endif  // INSTAR_UPDATES_STRATEGY_H_

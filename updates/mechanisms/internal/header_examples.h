// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_HEADER_EXAMPLES_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "code/redefinable.h"
#include "heap/updatable.h"
#include "stack/activity.h"
#include "stack/exposed_values.h"
#include "tools/header_examples/anything.h"
#include "updates/change.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace header_examples {

struct Product : Updatable<Product> {};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept;
};
struct Site : Updatable<Site> {
  void Render();
};
struct SiteV2 : Site {
  explicit SiteV2(Site&& old) noexcept;
};
struct Order : Updatable<Order> {};
struct OrderV2 : Order {
  explicit OrderV2(Order&& old) noexcept;
};
std::unique_ptr<ConversionStep> OldestFirst();

void DoCommand();
void NewDoCommand();
int Price(int count);
int NewPrice(int count);
void NewRender(Site* site);
int NewTotal(int count);
extern Redefinable<int(int)> discount_slot;
int NewDiscount(int count);
extern UpdatePlan& plan;
extern ThreadUpdates& threads;

namespace class_functions_h {
Anything NotYet(Anything reason);
extern const StackSnapshot stack;
}  // namespace class_functions_h

namespace hook_h {
absl::Status OpenCache();
absl::Status CloseCache();
}  // namespace hook_h

namespace mechanism_h {
using Table = std::vector<int>;
extern Table table, next_;
absl::Status Build(Table* table);
int Route(int destination);
}  // namespace mechanism_h

namespace new_thread_h {
void RatingsMain();
}  // namespace new_thread_h

namespace reboot_h {
void Display();
void NewDisplay();
void NewMain(int listener);
}  // namespace reboot_h

namespace replace_activation_h {
void Progress();
}  // namespace replace_activation_h

namespace replace_when_held_h {
struct State {
  std::vector<int>* list;
  int next;
};
void FillList(std::vector<int>& list, int size);
void NewFillList(std::vector<int>& list, int size);
void FillRest(State state);
void FillOldRest(State state);
absl::StatusOr<State> Capture(StackBounds frame);
absl::StatusOr<State> CaptureNew(StackBounds frame);
}  // namespace replace_when_held_h

namespace shadow_data_h {
struct Connection;
struct Limit {};
bool Accept(Connection* connection);
bool NewAccept(Connection* connection);
void Close(Connection* connection);
void NewClose(Connection* connection);
}  // namespace shadow_data_h

namespace transfer_h {
struct Price {
  int id;
  int cents;
};
int Lookup(int id);
int NewLookup(int id);
}  // namespace transfer_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_HEADER_EXAMPLES_H_

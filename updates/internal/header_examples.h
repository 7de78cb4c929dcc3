// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_UPDATES_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_UPDATES_INTERNAL_HEADER_EXAMPLES_H_

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "heap/updatable.h"
#include "stack/exposed_values.h"
#include "threads/update_request.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/redefine.h"

// A module has one; the examples are several.
#define INSTAR_EXAMPLE_JOIN_(a, b) a##b
#define INSTAR_EXAMPLE_JOIN(a, b) INSTAR_EXAMPLE_JOIN_(a, b)
#define instar_update_module \
  INSTAR_EXAMPLE_JOIN(instar_update_module_of_line_, __LINE__)

namespace instar {
namespace header_examples {

struct Product : Updatable<Product> {};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept;
};
struct Site : Updatable<Site> {};
struct SiteV2 : Site {
  explicit SiteV2(Site&& old) noexcept;
};

std::string DoCommand(const std::string& command);
std::string NewDoCommand(const std::string& command);
int Price(int count);
int NewPrice(int count);
void SiteManagerMain();
extern const ThreadRef thread;
extern UpdatePlan plan;

namespace reboot_thread_h {
void NewMain(int listener);
extern const int port;
}  // namespace reboot_thread_h

namespace thread_updates_h {
void NewMain();
}  // namespace thread_updates_h

namespace update_run_h {
extern std::vector<Change> changes;
}  // namespace update_run_h

namespace update_fixture_h {
using testing::StartsWith;
void FillCompany(int products);
absl::Status AddRatings(UpdatePlan& plan);
}  // namespace update_fixture_h

namespace update_function_h {
void NewMain();
}  // namespace update_function_h

namespace update_module_h {
absl::Status AddRatingsPerThread(ThreadUpdates& threads);
}  // namespace update_module_h

namespace update_plan_h {
void NewDisplay(std::chrono::milliseconds period);
}  // namespace update_plan_h

namespace update_run_h {
extern UpdateRun run;
extern Change change;
extern const ApplyOptions options;
}  // namespace update_run_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_HEADER_EXAMPLES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_update.h"

#include <exception>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/forced_unwind.h"
#include "base/status_macros.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

absl::Status Say(const LoadedModule& module, absl::StatusCode code,
                 absl::string_view reason) {
  return absl::Status(code,
                      absl::StrCat("the update ", module.file().update_name(),
                                   " refuses: ", reason));
}

// Calls what the module's author wrote. Exceptions, which may be of a class of
// the module, are gone when this returns.
template <typename F, typename Argument>
INSTAR_CATCHES_FORCED_UNWIND absl::Status Call(const LoadedModule& module,
                                               F* function,
                                               Argument& argument) {
  try {
    const absl::Status status = (*function)(argument);
    return status.ok() ? status : Say(module, status.code(), status.message());
  } catch (const std::exception& exception) {
    return Say(module, absl::StatusCode::kAborted,
               absl::StrCat("its function threw ", exception.what()));
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    return Say(module, absl::StatusCode::kAborted, "its function threw");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Update>> MakeUpdate(const LoadedModule& module) {
  const UpdateModuleEntry& entry = module.entry();
  if (entry.thread_updates != nullptr) {
    ThreadUpdates threads(module.file().update_name());
    INSTAR_RETURN_IF_ERROR(Call(module, entry.thread_updates, threads));
    return MakeUpdate(std::move(threads));
  }
  UpdatePlan plan(module.file().update_name());
  if (entry.kind == updates_internal::kCPlanKind) {
    const auto fill = [&](UpdatePlan& filled) {
      const char* const refusal = entry.c_plan(&filled);
      return refusal == nullptr ? absl::OkStatus()
                                : absl::FailedPreconditionError(refusal);
    };
    INSTAR_RETURN_IF_ERROR(Call(module, &fill, plan));
  } else {
    INSTAR_RETURN_IF_ERROR(Call(module, entry.plan, plan));
  }
  return MakeUpdate(std::move(plan));
}

}  // namespace instar

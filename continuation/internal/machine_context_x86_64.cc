// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/internal/machine_context_x86_64.h"

#include <cstdint>

#include "continuation/paused_context.h"

namespace instar {

bool IsContinuletBase(std::uintptr_t pc) {
  return pc >= reinterpret_cast<std::uintptr_t>(
                   &continuation_internal::instar_continulet_start) &&
         pc < reinterpret_cast<std::uintptr_t>(
                  &continuation_internal::instar_continulet_start_end);
}

}  // namespace instar

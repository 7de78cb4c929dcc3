// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether the program has still the code that it had: what was looked up in it
// once need not be looked up again. Internal to this package.
//
// Threads: any, before threads are held: it asks the dynamic linker.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_CODE_VERSION_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_CODE_VERSION_H_

#include <cstdint>

#include "code/function_entry.h"
#include "code/symbols/function.h"

namespace instar {
namespace updates_internal {

class CodeVersion {
 public:
  // To be taken before anything is looked up.
  CodeVersion()
      : functions_(FunctionMap::Preload()),
        targets_(RedirectionTargetCount()) {}

  // No object has been loaded or unloaded since, and no function has been
  // redirected to what it never was redirected to before.
  bool IsCurrent() const {
    return targets_ == RedirectionTargetCount() && functions_.IsCurrent();
  }

 private:
  FunctionMap functions_;
  std::uint64_t targets_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_CODE_VERSION_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The next version of what the server keeps: an entry knows when it expires and
// how often it was read. Three updates bring it, each in its own way:
//
//   expire_eagerly.cc  expire_lazily.cc  expire_progressively.cc

#ifndef INSTAR_EXAMPLES_GINSENG_EXPIRY_H_
#define INSTAR_EXAMPLES_GINSENG_EXPIRY_H_

#include <cstdint>
#include <ctime>
#include <utility>

#include "examples/ginseng/store.h"
#include "updates/update_plan.h"

namespace ginseng {

struct CountedEntry : Entry {
  CountedEntry() = default;
  explicit CountedEntry(Entry&& old) noexcept : Entry(std::move(old)) {}

  std::uint64_t reads = 0;
  std::time_t expires = 0;  // 0: never, as all that was there before
};

// All but the conversion of the entries: expiry times are heeded from now on;
// "touch" changes them, and "stats reads" says what was read most often.
void RedefineStore(instar::UpdatePlan& plan);

}  // namespace ginseng

#endif  // INSTAR_EXAMPLES_GINSENG_EXPIRY_H_

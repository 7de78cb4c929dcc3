// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/update_point_watch.h"

#include "base/check.h"

namespace instar {

namespace threads_internal {
std::atomic<UpdatePointWatch*> update_point_watch{nullptr};
}  // namespace threads_internal

void WatchUpdatePoints(UpdatePointWatch* watch) {
  UpdatePointWatch* none = nullptr;
  const bool is_first =
      threads_internal::update_point_watch.compare_exchange_strong(
          none, watch, std::memory_order_release, std::memory_order_relaxed);
  INSTAR_CHECK(is_first) << "update points are watched already";
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Boost.Asio's pools: each handler in a BusyScope (threads/idle_scope.h), and
// an update point after it.
//
//   boost::asio::io_context io;
//   instar::AsioExecutor executor(io.get_executor());
//   tcp::acceptor acceptor(executor, endpoint);
//   tcp::socket client(executor);
//   boost::asio::post(executor, [] { ... });
//
//   pool.emplace_back([&] {
//     instar::ControlledThisThread worker("worker");
//     instar::RunAsio(io, "between requests");
//   });
//
// An executor around another one, which it runs everything by. What is made
// with it (sockets, timers, strands) and what those hand on (accepted sockets,
// by acceptor.async_accept()) runs its handlers so. Handlers that run by
// another executor, io.get_executor() say, run outside of any BusyScope: an
// update would not see them. RunAsio() is for contexts that have none.
//
// Threads: as the executor that it is around.

#ifndef INSTAR_THREADS_ASIO_EXECUTOR_H_
#define INSTAR_THREADS_ASIO_EXECUTOR_H_

#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "boost/asio/execution.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/prefer.hpp"
#include "boost/asio/query.hpp"
#include "boost/asio/require.hpp"
#include "threads/idle_scope.h"
#include "threads/update_point.h"

namespace instar {

template <typename Inner>
class AsioExecutor {
 public:
  explicit AsioExecutor(Inner inner) noexcept : inner_(std::move(inner)) {}

  // What Asio asks of an executor: all is the inner one's, and what is made of
  // it runs handlers in the same way.
  template <typename Property>
  auto query(const Property& property) const
      -> decltype(boost::asio::query(std::declval<const Inner&>(), property)) {
    return boost::asio::query(inner_, property);
  }
  template <typename Property>
  auto require(const Property& property) const -> AsioExecutor<std::decay_t<
      decltype(boost::asio::require(std::declval<const Inner&>(), property))>> {
    return Around(boost::asio::require(inner_, property));
  }
  template <typename Property>
  auto prefer(const Property& property) const -> AsioExecutor<std::decay_t<
      decltype(boost::asio::prefer(std::declval<const Inner&>(), property))>> {
    return Around(boost::asio::prefer(inner_, property));
  }

  template <typename Handler>
  void execute(Handler handler) const {
    inner_.execute([handler = std::move(handler)]() mutable {
      const BusyScope busy;
      std::move(handler)();
    });
  }

  friend bool operator==(const AsioExecutor& a,
                         const AsioExecutor& b) noexcept {
    return a.inner_ == b.inner_;
  }
  friend bool operator!=(const AsioExecutor& a,
                         const AsioExecutor& b) noexcept {
    return !(a == b);
  }

 private:
  template <typename Other>
  static AsioExecutor<std::decay_t<Other>> Around(Other&& other) {
    return AsioExecutor<std::decay_t<Other>>(std::forward<Other>(other));
  }

  Inner inner_;
};

// As io.run(): runs the handlers, with an update point between two of them, and
// counts as stopped in between. `point` names both; empty: no name.
inline void RunAsio(boost::asio::io_context& io, absl::string_view point = "") {
  const auto wake = [&io] { boost::asio::post(io, [] {}); };
  bool goes_on = true;
  while (goes_on) {
    {
      IdleScope idle(point, wake);
      goes_on = io.run_one() > 0;
    }
    if (point.empty()) {
      UpdatePoint();
    } else {
      UpdatePoint(point);
    }
  }
}

}  // namespace instar

#endif  // INSTAR_THREADS_ASIO_EXECUTOR_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_THREADS_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_THREADS_INTERNAL_HEADER_EXAMPLES_H_

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/status_macros.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/post.hpp"
#include "code/symbols/function.h"
#include "stack/activity.h"
#include "stack/function_set.h"

namespace shop {
struct Event {
  bool WaitAtMost(std::chrono::nanoseconds limit) const;
};
}  // namespace shop

namespace instar {
namespace header_examples {

struct Request {};
Request Receive();
void Handle(const Request& request);
void NewMain();
extern const FunctionSet functions;

namespace absl_waits_h {
extern absl::Mutex mutex;
extern absl::CondVar not_empty;
extern std::deque<Request> queue;
extern const absl::Notification notification;
}  // namespace absl_waits_h

namespace asio_executor_h {
using boost::asio::ip::tcp;
extern tcp::endpoint endpoint;
extern std::vector<std::thread> pool;
}  // namespace asio_executor_h

namespace attempt_h {
extern const bool quiescent;
extern const absl::Status status;
}  // namespace attempt_h

namespace blocking_region_h {
extern const int listener;
extern pollfd* inputs;
extern const int count;
extern std::mutex mutex;
extern std::condition_variable not_empty;
extern std::deque<Request> queue;
bool ready();
extern const std::future<void> future;
}  // namespace blocking_region_h

namespace controlled_thread_h {
struct Pool {
  void Submit(std::function<void()> work);
};
extern Pool pool;
extern const int port;
void DisplayMain();
void Serve(int port);
void Work();
Attempt update(UpdateContext& context);
}  // namespace controlled_thread_h

namespace idle_scope_h {
extern boost::asio::io_context io;
extern const Request request;
}  // namespace idle_scope_h

namespace parked_thread_h {
void Display();
}  // namespace parked_thread_h

namespace update_point_h {
extern int from, to;
void Transfer(int from, int to);
}  // namespace update_point_h

namespace update_request_h {
extern const ThreadRef thread;
}  // namespace update_request_h

namespace wait_adapter_h {
extern const shop::Event event;
}  // namespace wait_adapter_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_HEADER_EXAMPLES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One client of a control server: its requests, and what is still to be sent to
// it. Used by control_server.cc alone.
//
// Threads: everything on the server's thread, except Mailbox::Post().

#ifndef INSTAR_MANAGER_CONTROL_CONNECTION_H_
#define INSTAR_MANAGER_CONTROL_CONNECTION_H_

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "manager/closed_in_child.h"
#include "manager/control_server.h"
#include "manager/control_service.h"
#include "manager/frame.h"
#include "manager/protocol.h"

namespace instar {
namespace manager_internal {

// The way from any thread to the server's, for as long as there is one. Held by
// each `done` of the service.
class Mailbox {
 public:
  explicit Mailbox(boost::asio::io_context* context) : context_(context) {}

  // Runs `task` on the server's thread; drops it if the server has stopped.
  template <typename Task>
  void Post(Task&& task) {
    const std::lock_guard<std::mutex> lock(lock_);
    if (context_ != nullptr) {
      boost::asio::post(*context_, std::forward<Task>(task));
    }
  }

  // Posts `last`, and nothing that comes later.
  template <typename Task>
  void Close(Task&& last) {
    const std::lock_guard<std::mutex> lock(lock_);
    boost::asio::post(*context_, std::forward<Task>(last));
    context_ = nullptr;
  }

 private:
  std::mutex lock_;
  boost::asio::io_context* context_;  // guarded by lock_; null: closed
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;

  // `on_close` is called once, when the connection has been closed.
  Connection(Socket socket, ControlService& service,
             std::shared_ptr<Mailbox> mailbox,
             const ControlServerLimits& limits,
             std::function<void(Connection*)> on_close);

  void Start() { Receive(); }
  void Close();

 private:
  void Receive();
  void OnEnd();
  void HandleFrames();
  void Handle(absl::string_view frame);
  // Whether another request may be outstanding; answers with an error if not.
  bool AddOutstanding(std::int64_t id);
  template <typename Report>
  ControlService::Done<Report> ReplyLater(std::int64_t id);
  void Send(absl::string_view reply);
  void SendUnsent();
  void CloseIfDone();
  std::size_t Unsent() const { return sending_.size() + unsent_.size(); }

  Socket socket_;
  std::optional<ClosedInChild> closed_in_child_;
  ControlService& service_;
  const std::shared_ptr<Mailbox> mailbox_;
  const ControlServerLimits limits_;
  const std::function<void(Connection*)> on_close_;

  FrameParser parser_{kMaxRequestBytes};
  std::array<char, 1 << 14> received_;
  std::string sending_;  // being written; empty: nothing is
  std::string unsent_;   // after that
  std::size_t outstanding_ = 0;
  bool is_receiving_ = false;
  bool has_ended_ = false;  // nothing more is read from it
  bool is_closed_ = false;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_CONNECTION_H_

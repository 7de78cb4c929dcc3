// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One client of a control server: its requests, and what is still to be sent to
// it. Used by control_server.cc alone.
//
// Threads: everything on the server's thread, except Mailbox::Post().

#ifndef INSTAR_MANAGER_CONTROL_CONTROL_CONNECTION_H_
#define INSTAR_MANAGER_CONTROL_CONTROL_CONNECTION_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/linux/own_descriptor.h"
#include "manager/control/closed_in_child.h"
#include "manager/control/control_server.h"
#include "manager/control/control_service.h"
#include "manager/control/frame.h"
#include "manager/control/protocol.h"

namespace instar {
namespace manager_internal {

// The way from any thread to the server's, for as long as there is one. Held by
// each `done` of the service.
class Mailbox {
 public:
  // Has `task` run on the server's thread; drops it if the server has stopped.
  void Post(std::function<void()> task);

  // Nothing is taken any more.
  void Close();

  // Of the server's thread. What has been posted, in order.
  std::vector<std::function<void()>> Take();
  bool is_closed() const;
  // What becomes readable when something has been posted. Opened anew if the
  // program has closed it; -1 if that is impossible.
  int WakeDescriptor();

 private:
  void Wake();  // under lock_

  mutable std::mutex lock_;
  std::vector<std::function<void()>> tasks_;  // guarded by lock_
  bool is_closed_ = false;                    // guarded by lock_
  OwnDescriptor wake_;                        // an eventfd; guarded by lock_
  std::optional<ClosedInChild> closed_in_child_;  // of wake_
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // Takes over `socket`, at whose other end `peer` is.
  Connection(int socket, const Requester& peer, ControlService& service,
             std::shared_ptr<Mailbox> mailbox,
             const ControlServerLimits& limits);

  // -1 if the program has closed it: then it is to be closed here, too.
  int descriptor() const { return socket_.number(); }
  // Which events of poll(2) are waited for.
  short events() const;
  // What poll(2) has found.
  void Handle(short events);

  void Close();
  bool is_closed() const { return is_closed_; }

 private:
  void Receive();
  void TakeFiles(const msghdr& message);
  absl::StatusOr<ModuleSource> ModuleOf(const Request& request);
  void OnEnd();
  void HandleFrames();
  void HandleRequest(absl::string_view frame);
  // Whether another request may be outstanding; answers with an error if not.
  bool AddOutstanding(std::int64_t id);
  template <typename Report>
  ControlService::Done<Report> ReplyLater(std::int64_t id);
  void Send(absl::string_view reply);
  void SendUnsent();
  void CloseIfDone();
  std::size_t Unsent() const { return unsent_.size() - sent_; }
  bool WantsMore() const {
    return !has_ended_ && Unsent() < limits_.unsent_bytes;
  }

  OwnDescriptor socket_;
  std::optional<ClosedInChild> closed_in_child_;
  const Requester peer_;
  ControlService& service_;
  const std::shared_ptr<Mailbox> mailbox_;
  const ControlServerLimits limits_;

  FrameParser parser_{kMaxRequestBytes};
  // That were sent with requests which have not been handled yet.
  std::deque<std::shared_ptr<OwnDescriptor>> files_;
  std::string unsent_;    // of which the first
  std::size_t sent_ = 0;  // bytes have been sent
  std::size_t outstanding_ = 0;
  bool has_ended_ = false;  // nothing more is read from it
  bool is_closed_ = false;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_CONTROL_CONNECTION_H_

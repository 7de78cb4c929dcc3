// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/control_server.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/linux/own_thread.h"
#include "base/status_macros.h"
#include "manager/control/closed_in_child.h"
#include "manager/control/control_connection.h"
#include "manager/control/frame.h"
#include "manager/control/listening_processes.h"
#include "manager/control/protocol.h"
#include "manager/control/socket_directory.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace {

using manager_internal::ClosedInChild;
using manager_internal::Connection;
using manager_internal::FileDescriptor;
using manager_internal::Mailbox;

// For a client that is not served: all that fits at once.
void SendError(int socket, const absl::Status& error) {
  const std::string frame = MakeFrame(EncodeError(0, error));
  // If it cannot be sent, the client sees that it was closed.
  (void)!send(socket, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

using Clock = std::chrono::steady_clock;

// How often it is looked whether clients can still come: the name of the socket
// may have been removed, and descriptors be closed by the program.
constexpr std::chrono::seconds kLookAgain(1);
// For how long a client that was refused is no news: `instarctl --pid` comes
// twice, first to see who listens.
constexpr std::chrono::minutes kRefusedAgain(1);
// How long clients wait for a descriptor when there was none.
constexpr std::chrono::milliseconds kAcceptAgain(100);

absl::StatusOr<Requester> FindPeer(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return absl::PermissionDeniedError("it is not known who you are");
  }
  return Requester{peer.pid > 0 ? peer.pid : -1, peer.uid};
}

absl::Status CheckUser(const Requester& peer) {
  // Root could do all this to the process itself.
  if (peer.user == geteuid() || peer.user == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("you are user ", peer.user, ", and this program runs as ",
                   "user ", geteuid(), ", who alone is served, beside root"));
}

}  // namespace

class ControlServer::Server {
 public:
  Server(ControlService& service, const std::string& program,
         const SocketFolders& folders, ProgramSocket socket,
         const ControlServerLimits& limits)
      : service_(service),
        program_(program),
        folders_(folders),
        limits_(limits),
        path_(socket.path()) {
    Listen(std::move(socket));
  }

  absl::Status Start() {
    if (mailbox_->WakeDescriptor() < 0) {
      return absl::ResourceExhaustedError(
          "no control server can be started: no descriptor is free; raise the "
          "limit (ulimit -n)");
    }
    INSTAR_ASSIGN_OR_RETURN(
        thread_,
        StartOwnThread(manager_internal::kControlThread, [this] { Run(); }));
    return absl::OkStatus();
  }

  void Stop() {
    if (thread_.joinable()) {
      INSTAR_CHECK(std::this_thread::get_id() != thread_.get_id())
          << "a control server is stopped by the service that it asks";
      // What was posted before it is sent.
      mailbox_->Close();
      thread_.join();
    }
    for (const auto& connection : connections_) connection->Close();
    connections_.clear();
    closed_in_child_.reset();
    socket_.reset();  // its name goes while it still listens
  }

  ~Server() { Stop(); }

  bool is_of_this_process() const { return process_ == getpid(); }
  std::string path() const {
    const std::lock_guard<std::mutex> lock(path_lock_);
    return path_;
  }

 private:
  void Run() {
    std::vector<pollfd> polled;
    while (true) {
      const bool is_last = mailbox_->is_closed();
      for (const auto& task : mailbox_->Take()) task();
      if (is_last) return;
      ForgetClosed();
      LookAfterSocket();
      // The wake-up, the listener if any, then the connections. Each number is
      // asked for now: the program may have closed it, and use it otherwise.
      polled.clear();
      polled.push_back({mailbox_->WakeDescriptor(), POLLIN, 0});
      const bool accepts = Clock::now() >= accept_again_;
      polled.push_back({accepts ? socket_->descriptor() : -1, POLLIN, 0});
      const auto connections = connections_;
      for (const auto& connection : connections) {
        polled.push_back({connection->descriptor(), connection->events(), 0});
      }
      if (poll(polled.data(), polled.size(), TimeToWait()) < 0 &&
          errno != EINTR) {
        // It may be forbidden by now: no reason to keep a processor busy.
        std::this_thread::sleep_for(kAcceptAgain);
        for (pollfd& one : polled) one.revents = 0;
      }
      for (std::size_t i = 0; i < connections.size(); ++i) {
        const pollfd& one = polled[2 + i];
        // Closed by the program, now or while it was waited for.
        if (connections[i]->descriptor() < 0 || one.revents == POLLNVAL) {
          connections[i]->Close();
        } else if (one.revents != 0) {
          connections[i]->Handle(one.revents);
        }
      }
      if (polled[1].revents != 0) {
        ForgetClosed();
        while (AcceptOne()) {
        }
      }
    }
  }

  int TimeToWait() const {
    Clock::time_point until = look_again_;
    if (accept_again_ > Clock::now()) until = std::min(until, accept_again_);
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(0, left.count()));
  }

  void ForgetClosed() {
    connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                      [](const auto& connection) {
                                        return connection->is_closed();
                                      }),
                       connections_.end());
  }

  void Listen(ProgramSocket socket) {
    closed_in_child_.reset();
    // Its name is the new one's now, whose file may have got the same number.
    if (socket_.has_value() && socket_->path() == socket.path()) {
      socket_->ForgetName();
    }
    socket_ = std::move(socket);
    closed_in_child_.emplace(&socket_->own_descriptor());
    const std::lock_guard<std::mutex> lock(path_lock_);
    path_ = socket_->path();
  }

  // Once a second: listens anew if nobody can come to the socket any more. If
  // that fails, it is tried again.
  void LookAfterSocket() {
    if (Clock::now() < look_again_) return;
    look_again_ = Clock::now() + kLookAgain;
    service_.EverySecond();
    if (socket_->IsReachable()) return;
    absl::StatusOr<ProgramSocket> socket =
        ProgramSocket::Listen(program_, folders_);
    if (socket.ok()) Listen(*std::move(socket));
  }

  // Whether there may be another one.
  bool AcceptOne() {
    FileDescriptor client(accept4(socket_->descriptor(), nullptr, nullptr,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.number() < 0) {
      const int error = errno;
      if (error == EINTR || error == ECONNABORTED) return true;
      if (error == EAGAIN || error == EWOULDBLOCK || error == EBADF) {
        return false;
      }
      // No descriptors are left, or no memory: the client stays in the queue.
      NoteRefusal({-1, geteuid()},
                  absl::ResourceExhaustedError(absl::StrCat(
                      "no client can be accepted: ", std::strerror(error),
                      error == EMFILE ? "; raise the limit (ulimit -n)" : "")));
      accept_again_ = Clock::now() + kAcceptAgain;
      return false;
    }
    const absl::StatusOr<Requester> peer = FindPeer(client.number());
    if (!peer.ok()) return SendError(client.number(), peer.status()), true;
    if (const absl::Status status = CheckUser(*peer); !status.ok()) {
      NoteRefusal(*peer, status);
      return SendError(client.number(), status), true;
    }
    if (connections_.size() >= limits_.clients) {
      SendError(client.number(),
                absl::ResourceExhaustedError(absl::StrCat(
                    "this program has ", connections_.size(),
                    " clients, and that is the limit; end one of them")));
      return true;
    }
    connections_.push_back(std::make_shared<Connection>(
        client.Release(), *peer, service_, mailbox_, limits_));
    return true;
  }

  void NoteRefusal(const Requester& peer, const absl::Status& why) {
    const Clock::time_point now = Clock::now();
    const bool is_known = now < refused_until_ &&
                          peer.process == refused_.process &&
                          peer.user == refused_.user;
    if (is_known) return;
    refused_ = peer;
    refused_until_ = now + kRefusedAgain;
    service_.Refused(peer, why);
  }

  const pid_t process_ = getpid();
  ControlService& service_;
  const std::string program_;
  const SocketFolders folders_;
  const ControlServerLimits limits_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  mutable std::mutex path_lock_;
  std::string path_;  // guarded by path_lock_
  std::thread thread_;

  // Of the thread, once it runs.
  std::optional<ProgramSocket> socket_;
  std::optional<ClosedInChild> closed_in_child_;  // of socket_
  std::vector<std::shared_ptr<Connection>> connections_;
  Clock::time_point look_again_ = Clock::now() + kLookAgain;
  Clock::time_point accept_again_;
  Requester refused_;  // the latest, and until when it is no news
  Clock::time_point refused_until_;
};

ControlServer::ControlServer(std::unique_ptr<Server> server)
    : server_(std::move(server)) {}

ControlServer::ControlServer(ControlServer&&) noexcept = default;

ControlServer& ControlServer::operator=(ControlServer&& other) noexcept {
  std::swap(server_, other.server_);
  return *this;
}

ControlServer::~ControlServer() {
  // A child has no such thread, and nothing to take down.
  if (server_ != nullptr && !server_->is_of_this_process()) server_.release();
}

absl::StatusOr<ControlServer> ControlServer::Start(
    ControlService& service, const std::string& program,
    const ControlServerLimits& limits, const SocketFolders& folders) {
  INSTAR_ASSIGN_OR_RETURN(ProgramSocket socket,
                          ProgramSocket::Listen(program, folders));
  auto server = std::make_unique<Server>(service, program, folders,
                                         std::move(socket), limits);
  INSTAR_RETURN_IF_ERROR(server->Start());
  return ControlServer(std::move(server));
}

std::string ControlServer::socket_path() const { return server_->path(); }

void ControlServer::Stop() {
  if (server_ != nullptr && server_->is_of_this_process()) server_->Stop();
}

}  // namespace instar

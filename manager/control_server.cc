// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/linux/own_thread.h"
#include "base/status_macros.h"
#include "manager/closed_in_child.h"
#include "manager/control_connection.h"
#include "manager/file_descriptor.h"
#include "manager/frame.h"
#include "manager/protocol.h"
#include "manager/socket_directory.h"

namespace instar {
namespace {

using boost::system::error_code;
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

absl::Status CheckUser(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return absl::PermissionDeniedError("it is not known who you are");
  }
  if (peer.uid != geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat("you are user ", peer.uid, ", and this program runs as ",
                     "user ", geteuid(), ", who alone is served"));
  }
  return absl::OkStatus();
}

}  // namespace

class ControlServer::Server {
 public:
  Server(ControlService& service, ProgramSocket socket,
         const ControlServerLimits& limits)
      : service_(service),
        limits_(limits),
        path_(socket.path()),
        socket_(std::move(socket)),
        mailbox_(std::make_shared<Mailbox>(&context_)),
        listener_(context_, socket_->descriptor()),
        retry_(context_) {}

  absl::Status Start() {
    Accept();
    INSTAR_ASSIGN_OR_RETURN(
        thread_, StartOwnThread("instar-control", [this] { context_.run(); }));
    return absl::OkStatus();
  }

  void Stop() {
    if (thread_.joinable()) {
      INSTAR_CHECK(std::this_thread::get_id() != thread_.get_id())
          << "a control server is stopped by the service that it asks";
      // What was posted before it is sent.
      mailbox_->Close([this] { context_.stop(); });
      thread_.join();
    }
    // Each Close() takes a connection off connections_.
    const auto connections = connections_;
    for (const auto& [address, connection] : connections) connection->Close();
    if (!socket_.has_value()) return;
    closed_in_child_.reset();
    listener_.release();
    socket_.reset();  // its name goes while it still listens
  }

  ~Server() { Stop(); }

  bool is_of_this_process() const { return process_ == getpid(); }
  const std::string& path() const { return path_; }

 private:
  void Accept() {
    listener_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](error_code error) {
                           if (error == boost::asio::error::operation_aborted)
                             return;
                           while (AcceptOne()) {
                           }
                         });
  }

  // Whether there may be another one; else waits for it.
  bool AcceptOne() {
    // Not by Asio, which would leave it to be inherited for a moment.
    FileDescriptor client(accept4(socket_->descriptor(), nullptr, nullptr,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.number() < 0) {
      if (errno == EINTR || errno == ECONNABORTED) return true;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return Accept(), false;
      // No descriptors are left, or no memory: the client stays in the queue.
      retry_.expires_after(std::chrono::milliseconds(100));
      retry_.async_wait([this](error_code error) {
        if (!error) Accept();
      });
      return false;
    }
    if (absl::Status status = CheckUser(client.number()); !status.ok()) {
      return SendError(client.number(), status), true;
    }
    if (connections_.size() >= limits_.clients) {
      SendError(client.number(),
                absl::ResourceExhaustedError(absl::StrCat(
                    "this program has ", connections_.size(),
                    " clients, and that is the limit; end one of them")));
      return true;
    }
    Connection::Socket socket(context_);
    error_code error;
    socket.assign(boost::asio::local::stream_protocol(), client.number(),
                  error);
    if (error) return true;  // closes it
    client.Release();
    const auto connection = std::make_shared<Connection>(
        std::move(socket), service_, mailbox_, limits_,
        [this](Connection* closed) { connections_.erase(closed); });
    connections_.emplace(connection.get(), connection);
    connection->Start();
    return true;
  }

  const pid_t process_ = getpid();
  ControlService& service_;
  const ControlServerLimits limits_;
  const std::string path_;
  std::optional<ProgramSocket> socket_;
  std::optional<ClosedInChild> closed_in_child_{std::in_place,
                                                socket_->descriptor()};
  boost::asio::io_context context_{1};
  const std::shared_ptr<Mailbox> mailbox_;
  boost::asio::posix::stream_descriptor listener_;
  boost::asio::steady_timer retry_;
  absl::flat_hash_map<Connection*, std::shared_ptr<Connection>> connections_;
  std::thread thread_;
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
    const ControlServerLimits& limits) {
  INSTAR_ASSIGN_OR_RETURN(ProgramSocket socket, ProgramSocket::Listen(program));
  try {
    auto server = std::make_unique<Server>(service, std::move(socket), limits);
    INSTAR_RETURN_IF_ERROR(server->Start());
    return ControlServer(std::move(server));
  } catch (const std::runtime_error& error) {  // of Asio
    return absl::ResourceExhaustedError(
        absl::StrCat("no control server can be started: ", error.what()));
  }
}

const std::string& ControlServer::socket_path() const {
  return server_->path();
}

void ControlServer::Stop() {
  if (server_ != nullptr && server_->is_of_this_process()) server_->Stop();
}

}  // namespace instar

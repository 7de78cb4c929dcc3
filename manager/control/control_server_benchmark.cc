// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A round trip on a control socket: the smallest request and its reply, made,
// sent, read, answered, sent back and read, against (limit) as many bytes
// written and read by two threads that block on a Unix socket and look at
// nothing.

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "manager/control/control_client.h"
#include "manager/control/control_server.h"
#include "manager/control/control_service.h"
#include "manager/control/frame.h"
#include "manager/control/protocol.h"

namespace instar {
namespace {

class SmallService : public ControlService {
 public:
  void Load(ModuleSource, std::chrono::nanoseconds, const Requester&,
            Done<UpdateReport> done) override {
    done(absl::UnimplementedError(""));
  }
  void Undo(std::string, std::chrono::nanoseconds, const Requester&,
            Done<UpdateReport> done) override {
    done(absl::UnimplementedError(""));
  }
  void Check(ModuleSource, bool, Done<CheckReport> done) override {
    done(absl::UnimplementedError(""));
  }
  absl::StatusOr<std::vector<std::string>> Cancel(const std::string&) override {
    return absl::UnimplementedError("");
  }
  StatusReport Status() override { return {}; }
  ProgramReport Program() override { return Report(); }
  void Unload(std::string, std::chrono::nanoseconds, const Requester&,
              Done<UnloadReport> done) override {
    done(UnloadReport());
  }
  std::vector<ImageReport> Images() override { return {}; }
  absl::StatusOr<std::vector<JournalEntry>> Journal() override {
    return absl::UnimplementedError("");
  }

  static ProgramReport Report() {
    ProgramReport report;
    report.name = "benchmark";
    report.pid = 12345;
    report.build_id = "0123456789abcdef0123456789abcdef01234567";
    report.executable = "/usr/bin/benchmark";
    return report;
  }
};

void RoundTrip(benchmark::State& state) {
  char directory[] = "/tmp/instar_benchmark.XXXXXX";
  setenv("INSTAR_SOCKET_DIRECTORY", mkdtemp(directory), 1);
  SmallService service;
  {
    auto server = ControlServer::Start(service, "benchmark");
    if (!server.ok()) {
      return state.SkipWithError(server.status().ToString().c_str());
    }
    auto client = ControlClient::Connect(server->socket_path());
    for (auto _ : state) {
      if (!client.ok() || !client->Program().ok()) {
        state.SkipWithError("no reply");
        break;
      }
    }
  }
  rmdir(directory);
}

// False at the end of the stream.
bool ReadAll(int socket, std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t size = read(socket, &bytes[done], bytes.size() - done);
    if (size <= 0) return false;
    done += static_cast<std::size_t>(size);
  }
  return true;
}

bool WriteAll(int socket, const std::string& bytes) {
  return write(socket, bytes.data(), bytes.size()) ==
         static_cast<ssize_t>(bytes.size());
}

void Limit(benchmark::State& state) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return state.SkipWithError("no sockets");
  }
  const std::string request = MakeFrame(*EncodeRequest({}));
  const std::string reply =
      MakeFrame(EncodeReply<ProgramReport>(1, SmallService::Report()));
  std::thread peer([&, end = ends[1]] {
    std::string received(request.size(), ' ');
    while (ReadAll(end, received) && WriteAll(end, reply)) {
    }
  });
  std::string received(reply.size(), ' ');
  for (auto _ : state) {
    if (!WriteAll(ends[0], request) || !ReadAll(ends[0], received)) {
      state.SkipWithError("no reply");
      break;
    }
  }
  shutdown(ends[0], SHUT_RDWR);
  peer.join();
  close(ends[0]);
  close(ends[1]);
}

BENCHMARK(RoundTrip)
    ->Name("control_round_trip/instar")
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(Limit)
    ->Name("control_round_trip/limit")
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The example's program.
//
//   $ bazel run //examples:site_manager [-- milliseconds between displays]
//   port 40123
//   Brest: chair 10, table 4
//   ...
// In another terminal:
//   $ echo order 2 chair Brest | nc -N localhost 40123
//
// The path of an update module on a line of standard input loads it; `quit`, or
// the end of the input, ends the program. (The manager that takes updates from
// another process comes later.)

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/site_manager.h"
#include "threads/controlled_thread.h"
#include "threads/update_request.h"
#include "updates/reboot_thread.h"
#include "updates/safe_redefine.h"

namespace {

using site_manager::Print;

// What an update module of this program exports as "UpdateSiteManager".
using UpdateModule = absl::Status (*)(const instar::ThreadRef& display,
                                      const instar::ThreadRef& commands);

absl::Status Load(const std::string& path, const instar::ThreadRef& display,
                  const instar::ThreadRef& commands) {
  void* const module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) return absl::NotFoundError(dlerror());
  void* const update = dlsym(module, "UpdateSiteManager");
  if (update == nullptr) return absl::InvalidArgumentError(dlerror());
  return reinterpret_cast<UpdateModule>(update)(display, commands);
}

// Listens at a port of the system's choice on the loopback interface.
int Listen() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (listener < 0 ||
      bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, 5) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) !=
          0) {
    std::perror("site_manager: cannot listen");
    std::exit(1);
  }
  Print(absl::StrCat("port ", ntohs(address.sin_port)));
  return listener;
}

// Ends a thread, wherever it is: it goes on with a function that does nothing.
void End(const instar::ThreadRef& thread) {
  instar::SetUpdateFunction(thread, instar::RebootThread([] {}),
                            instar::kRebootOptions)
      .Trigger();
}

}  // namespace

int main(int argc, char** argv) {
  const std::chrono::milliseconds period(argc > 1 ? std::atoi(argv[1]) : 10000);
  site_manager::FillCompany();
  instar::ControlledThread display = instar::StartActiveThread(
      "site_manager", site_manager::SiteManagerMain, period);
  instar::ControlledThread commands =
      instar::StartPassiveThread("socket", site_manager::SocketMain, Listen());
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    const absl::Status status = Load(line, display, commands);
    Print(absl::StrCat("update: ", status.ok() ? "done" : status.ToString()));
  }
  End(display);
  End(commands);
  display.Join();
  commands.Join();
  Print("end");
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The example's program. It serves commands at a port of 127.0.0.1 and displays
// its sites until Ctrl-C, SIGTERM or, at a terminal, "quit"; meanwhile it takes
// updates from the command line tool instarctl.

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <limits>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/command_server.h"
#include "examples/ending.h"
#include "examples/site_manager.h"
#include "manager/manager.h"
#include "threads/controlled_thread.h"

namespace {

using site_manager::Print;

// The paper's Socket_port.
constexpr int kUsualPort = 5678;

int Fail(const absl::Status& status) {
  std::cerr << "site_manager: " << status.message() << "\n";
  return 1;
}

// The usual port, or one that the system chooses if something else has it.
absl::StatusOr<int> ListenSomewhere() {
  absl::StatusOr<int> listener = site_manager::Listen(kUsualPort);
  return listener.ok() ? listener : site_manager::Listen(0);
}

std::string Welcome(int port) {
  return absl::StrCat(
      "site_manager: process ", getpid(), ", commands at port ", port,
      " of 127.0.0.1\n"
      "In a second terminal:\n"
      "  tools/bazelw run //examples:client -- ",
      port,
      " order 2 chair Brest\n"
      "  tools/bazelw run //examples:add_ratings     # products can be rated:\n"
      "  tools/bazelw run //examples:client -- ",
      port,
      " rate 4 chair Brest\n"
      "  tools/bazelw run //examples:show_ratings    # the marks are "
      "displayed\n"
      "  tools/bazelw run //tools:instarctl -- status\n"
      "  tools/bazelw run //tools:instarctl -- undo\n"
      "Ctrl-C ends the program.\n\n");
}

// Signals that end the program; blocked, so that a descriptor tells of them.
int BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

// Until a signal, or "quit" or the end of the input at a terminal.
void AwaitEnd(int signals) {
  pollfd wanted[] = {{signals, POLLIN, 0},
                     {isatty(STDIN_FILENO) ? STDIN_FILENO : -1, POLLIN, 0}};
  while (true) {
    if (poll(wanted, 2, -1) < 0) continue;
    if (wanted[0].revents != 0) return;
    if (wanted[1].revents != 0) {
      std::string line;
      if (!std::getline(std::cin, line) || line == "quit") return;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  int port = -1;
  double period = 10;
  int stock = 100;
  CLI::App options(
      "The site manager: takes orders over a socket, displays its sites, and "
      "can be updated while it runs.");
  options
      .add_option("--port", port,
                  absl::StrCat("of 127.0.0.1, for commands; 0: one that the "
                               "system chooses; default: ",
                               kUsualPort, " if it is free"))
      ->check(CLI::Range(0, 65535));
  options.add_option("--period", period, "seconds between two displays")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  options.add_option("--stock", stock, "of each product at the beginning")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()))
      ->capture_default_str();
  CLI11_PARSE(options, argc, argv);

  const int signals = BlockSignals();
  absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
  if (!manager.ok()) return Fail(manager.status());
  const absl::StatusOr<int> listener =
      port < 0 ? ListenSomewhere() : site_manager::Listen(port);
  if (!listener.ok()) return Fail(listener.status());
  site_manager::company.display_period =
      std::chrono::milliseconds(static_cast<int>(period * 1000));
  site_manager::FillCompany(stock);
  Print(Welcome(site_manager::PortOf(*listener)));
  {
    instar::ControlledThread display = instar::StartActiveThread(
        "site_manager", site_manager::SiteManagerMain);
    instar::ControlledThread commands = instar::StartPassiveThread(
        "socket", site_manager::SocketMain, *listener);
    AwaitEnd(signals);
    site_manager::ending.Announce();
  }  // both threads have ended here
  Print("site_manager: ends\n");
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The file server with something to serve, and its clients, curl and wrk, as
// the demo and the test use them.
//
//   Site site;
//   servers::RunningServer server(kProgram, {"--root=" + site.root()});
//   Curl(server.Url("/page.html"));                 // "200 <h1>..."
//   WrkLoad wrk(server, site);
//   wrk.AwaitChecked(2);
//   wrk.Stop();                                     // "9034 answers, 0 wrong"
//
// Threads: one. CurlLoad starts one.

#ifndef INSTAR_EXAMPLES_OPUS_CLIENTS_H_
#define INSTAR_EXAMPLES_OPUS_CLIENTS_H_

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "examples/child_process.h"
#include "examples/example_program.h"
#include "examples/servers/running_server.h"

namespace file_server {

inline constexpr const char* kProgram = "examples/opus/file_server";

// A folder with a page of 64 KiB and two pipes, and a file beside the folder
// that nobody should read.
class Site {
 public:
  Site();
  std::string root() const { return directory_.path() + "/root"; }
  // "page.html", "slow1", "slow2".
  std::string Path(const std::string& name) const {
    return root() + "/" + name;
  }

 private:
  site_manager::TemporaryDirectory directory_;
};

// The target that names the file beside the folder.
inline constexpr const char* kSecret = "/%2e%2e/secret.txt";

// The status and the body, "403 403 Forbidden". The path is sent as it is.
std::string Curl(const std::string& url,
                 const std::vector<std::string>& flags = {});

// wrk, which asks for the page over 16 connections without a pause, and
// compares every answer with the file (check_answers.lua).
class WrkLoad {
 public:
  WrkLoad(const servers::RunningServer& server, const Site& site);
  // Until it has checked so many times 500 answers more.
  void AwaitChecked(int times);
  // What it says of all answers, "N answers, 0 wrong, ...".
  std::string Stop();

 private:
  site_manager::ChildProcess process_;
};

// curl, which asks for the file beside the folder again and again, a hundred
// times over each connection.
class CurlLoad {
 public:
  explicit CurlLoad(const servers::RunningServer& server);
  ~CurlLoad() { Stop(); }
  CurlLoad(const CurlLoad&) = delete;
  CurlLoad& operator=(const CurlLoad&) = delete;

  // Until so many have been answered more.
  void AwaitAnswers(std::size_t count);
  // The answers in the order in which they came, "200 the secret".
  std::vector<std::string> Stop();

 private:
  void Work();

  const std::string urls_;
  std::mutex lock_;  // of all that follows
  std::condition_variable changed_;
  bool is_stopping_ = false;
  std::vector<std::string> answers_;
  std::thread thread_;
};

// How often an answer differs from the one before.
int Changes(const std::vector<std::string>& answers);

}  // namespace file_server

#endif  // INSTAR_EXAMPLES_OPUS_CLIENTS_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The clients of memcached that Debian has (package libmemcached-tools), as the
// demo and the test use them.
//
//   Memccapable capable(server);
//   capable.AwaitTest("ascii get");
//   ... update ...
//   capable.Wait();                      // "27 tests, all passed"
//   Memcstat(server, {"reads"});         // the lines of its answer
//   MemcslapLoad slap(server);
//   slap.AwaitRounds(1);
//   slap.Stop();                         // "9 rounds, 0 wrong"
//
// Each ends the caller if its program is not installed.
//
// Threads: one. MemcslapLoad starts one.

#ifndef INSTAR_EXAMPLES_GINSENG_TOOLS_H_
#define INSTAR_EXAMPLES_GINSENG_TOOLS_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "examples/child_process.h"
#include "examples/servers/running_server.h"

namespace ginseng {

// Tries the text protocol, in some 2.5 seconds. It empties the server.
class Memccapable {
 public:
  explicit Memccapable(const servers::RunningServer& server);
  // Until it has passed or failed that test, "ascii get".
  void AwaitTest(const std::string& name);
  // "27 tests, all passed", or all that it said.
  std::string Wait();

 private:
  site_manager::ChildProcess process_;
};

// One of the clients that do one thing and end: memcstat, memccp, memccat,
// memctouch, with its arguments.
site_manager::Finished RunTool(const std::string& tool,
                               const servers::RunningServer& server,
                               const std::vector<std::string>& arguments);

// memcslap: stores and gets, one round after the other. In a round, four
// threads store 200 values each, another four get as many.
class MemcslapLoad {
 public:
  explicit MemcslapLoad(const servers::RunningServer& server);
  ~MemcslapLoad() { Stop(); }
  MemcslapLoad(const MemcslapLoad&) = delete;
  MemcslapLoad& operator=(const MemcslapLoad&) = delete;

  // Until so many more have begun and ended.
  void AwaitRounds(int count);
  struct Report {
    int rounds = 0;
    std::string wrong;  // what it said where something failed; empty: nothing
  };
  Report Stop();

 private:
  void Work();

  const servers::RunningServer& server_;
  std::mutex lock_;  // of all that follows
  std::condition_variable changed_;
  bool is_stopping_ = false;
  Report report_;
  std::thread thread_;
};

}  // namespace ginseng

#endif  // INSTAR_EXAMPLES_GINSENG_TOOLS_H_

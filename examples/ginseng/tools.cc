// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ginseng/tools.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ginseng {
namespace {

using site_manager::Finished;

constexpr const char* kPackage = "libmemcached-tools";
constexpr int kThreads = 4;
constexpr int kValues = 200;  // of each

// What went wrong, or nothing. memcslap ends with 0 in any case: it says how
// many keys were stored or got, and what failed.
std::string Slap(const servers::RunningServer& server,
                 const std::string& what) {
  const Finished finished =
      RunTool("memcslap", server,
              {"--test=" + what, absl::StrCat("--concurrency=", kThreads),
               absl::StrCat("--execute-number=", kValues)});
  const std::string count = absl::StrCat(" ", kThreads * kValues, " keys by ");
  const bool has_count = std::any_of(
      finished.output.begin(), finished.output.end(),
      [&](const std::string& line) {
        return absl::StartsWith(line, absl::StrCat("Time to ", what, " ")) &&
               absl::StrContains(line, count);
      });
  const std::string said = absl::StrJoin(finished.output, "\n");
  const bool is_right = finished.code == 0 && has_count &&
                        !absl::StrContains(said, "error") &&
                        !absl::StrContains(said, "ailed");
  return is_right ? "" : said;
}

}  // namespace

Memccapable::Memccapable(const servers::RunningServer& server)
    : process_({servers::ToolPath("memccapable", kPackage), "-h", "127.0.0.1",
                "-p", absl::StrCat(server.port()), "-a"}) {}

void Memccapable::AwaitTest(const std::string& name) {
  process_.AwaitLine(name + " ");
}

std::string Memccapable::Wait() {
  const int code = process_.Wait();
  const std::vector<std::string> output = process_.Output();
  const auto passed = std::count_if(
      output.begin(), output.end(),
      [](const std::string& line) { return absl::EndsWith(line, "[pass]"); });
  const bool is_right = code == 0 && !output.empty() &&
                        output.back() == "All tests passed" &&
                        static_cast<std::size_t>(passed) + 1 == output.size();
  return is_right ? absl::StrCat(passed, " tests, all passed")
                  : absl::StrCat("exit code ", code, ": ",
                                 absl::StrJoin(output, "\n"));
}

Finished RunTool(const std::string& tool, const servers::RunningServer& server,
                 const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {
      servers::ToolPath(tool, kPackage),
      absl::StrCat("--servers=127.0.0.1:", server.port())};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return site_manager::RunToEnd(words);
}

MemcslapLoad::MemcslapLoad(const servers::RunningServer& server)
    : server_(server), thread_(&MemcslapLoad::Work, this) {}

void MemcslapLoad::Work() {
  while (true) {
    std::string wrong = Slap(server_, "set");
    if (wrong.empty()) wrong = Slap(server_, "get");
    const std::lock_guard<std::mutex> hold(lock_);
    ++report_.rounds;
    report_.wrong = wrong;
    changed_.notify_all();
    if (is_stopping_ || !wrong.empty()) return;
  }
}

void MemcslapLoad::AwaitRounds(int count) {
  std::unique_lock<std::mutex> hold(lock_);
  // One is under way.
  const int until = report_.rounds + 1 + count;
  changed_.wait(
      hold, [&] { return report_.rounds >= until || !report_.wrong.empty(); });
}

MemcslapLoad::Report MemcslapLoad::Stop() {
  {
    const std::lock_guard<std::mutex> hold(lock_);
    is_stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  return report_;
}

}  // namespace ginseng

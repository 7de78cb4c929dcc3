// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/opus/clients.h"

#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace file_server {
namespace {

using site_manager::Finished;
using site_manager::RunToEnd;

constexpr int kPageLines = 2048;  // of 32 bytes

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

std::vector<std::string> CurlWords(const std::string& url,
                                   const std::vector<std::string>& flags) {
  std::vector<std::string> words = {servers::ToolPath("curl", "curl"),
                                    "--silent",
                                    "--show-error",
                                    "--path-as-is",
                                    "--noproxy",
                                    "*",
                                    "--write-out",
                                    "%{http_code}\\n"};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back(url);
  return words;
}

}  // namespace

Site::Site() {
  std::filesystem::create_directory(root());
  std::ofstream page(Path("page.html"));
  for (int i = 0; i < kPageLines; ++i) {
    std::string line = absl::StrCat("<p>line ", i);
    line.resize(31, ' ');
    page << line << "\n";
  }
  std::ofstream(directory_.path() + "/secret.txt") << "the secret\n";
  for (const char* const pipe : {"slow1", "slow2"}) {
    if (mkfifo(Path(pipe).c_str(), 0600) != 0) Die("mkfifo fails");
  }
}

std::string Curl(const std::string& url,
                 const std::vector<std::string>& flags) {
  Finished curl = RunToEnd(CurlWords(url, flags));
  if (curl.code != 0 || curl.output.empty()) {
    return absl::StrCat("[curl: ", absl::StrJoin(curl.output, " "), "]");
  }
  // The status comes behind the body.
  const std::string status = curl.output.back();
  curl.output.pop_back();
  return absl::StrCat(status, " ", absl::StrJoin(curl.output, "\n"));
}

WrkLoad::WrkLoad(const servers::RunningServer& server, const Site& site)
    : process_({servers::ToolPath("wrk", "wrk"), "--threads=2",
                "--connections=16", "--duration=3600s", "--timeout=60s",
                "--script=examples/opus/check_answers.lua",
                server.Url("/page.html"), "--", site.Path("page.html")}) {}

void WrkLoad::AwaitChecked(int times) {
  process_.SkipOutput();
  for (int i = 0; i < times; ++i) {
    if (!process_.AwaitLine("checked").has_value()) Die("wrk has ended");
  }
}

std::string WrkLoad::Stop() {
  process_.Signal(SIGINT);
  process_.Wait();
  for (const std::string& line : process_.Output()) {
    if (absl::StrContains(line, " answers, ")) return line;
  }
  return absl::StrJoin(process_.Output(), "\n");
}

CurlLoad::CurlLoad(const servers::RunningServer& server)
    : urls_(server.Url(absl::StrCat(kSecret, "?[1-100]"))),
      thread_(&CurlLoad::Work, this) {}

void CurlLoad::Work() {
  while (true) {
    // Bodies and statuses by turns.
    const Finished curl = RunToEnd(CurlWords(urls_, {}));
    const std::lock_guard<std::mutex> hold(lock_);
    for (std::size_t i = 0; i + 1 < curl.output.size(); i += 2) {
      answers_.push_back(absl::StrCat(curl.output[i + 1], " ", curl.output[i]));
    }
    if (curl.code != 0) {
      answers_.push_back(
          absl::StrCat("[curl: ", absl::StrJoin(curl.output, " "), "]"));
    }
    changed_.notify_all();
    if (is_stopping_ || curl.code != 0) return;
  }
}

void CurlLoad::AwaitAnswers(std::size_t count) {
  std::unique_lock<std::mutex> hold(lock_);
  const std::size_t until = answers_.size() + count;
  changed_.wait(hold, [&] {
    return answers_.size() >= until ||
           (!answers_.empty() && absl::StartsWith(answers_.back(), "["));
  });
}

std::vector<std::string> CurlLoad::Stop() {
  {
    const std::lock_guard<std::mutex> hold(lock_);
    is_stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  return answers_;
}

int Changes(const std::vector<std::string>& answers) {
  int changes = 0;
  for (std::size_t i = 1; i < answers.size(); ++i) {
    if (answers[i] != answers[i - 1]) ++changes;
  }
  return changes;
}

}  // namespace file_server

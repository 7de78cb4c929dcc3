// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The file server takes its security update while wrk and curl use it.
//
//   tools/bazelw run //examples/opus:demo
//
// Exit code 1, with what went wrong, if anything did.

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "examples/opus/clients.h"
#include "examples/servers/running_server.h"

namespace file_server {
namespace {

class Demo {
 public:
  int Play();

 private:
  void Say(const std::string& text) const {
    std::printf("  %s\n", text.c_str());
    std::fflush(stdout);
  }
  void Check(bool right, const std::string& what) {
    if (right) return;
    ++wrong_;
    Say("WRONG: " + what);
  }
  void Ask(const std::string& path, absl::string_view expected) {
    const std::string answer = Curl(server_.Url(path));
    Say(absl::StrCat("$ curl --path-as-is ", server_.Url(path)));
    Say("  " + answer);
    Check(answer == expected, absl::StrCat("expected ", expected));
  }
  void Instarctl(const std::string& command) {
    Say(absl::StrCat("$ instarctl ", command, " close_traversal.so"));
    const std::string module = server_.ModulePath("close_traversal");
    const auto finished = server_.Instarctl({command, module});
    const std::string folder = module.substr(0, module.rfind('/') + 1);
    for (const std::string& line : finished.output) {
      Say("  " + absl::StrReplaceAll(line, {{folder, ""}}));
    }
    Check(finished.code == 0, absl::StrCat("exit code ", finished.code));
  }
  void CheckAnswers(const std::vector<std::string>& answers);

  Site site_;
  servers::RunningServer server_{kProgram, {"--root=" + site_.root()}};
  int wrong_ = 0;
};

void Demo::CheckAnswers(const std::vector<std::string>& answers) {
  std::size_t leaked = 0, refused = 0;
  for (const std::string& answer : answers) {
    if (answer == "200 the secret") ++leaked;
    if (answer == "403 403 Forbidden") ++refused;
  }
  Say(absl::StrCat("curl: ", answers.size(), " times asked for the secret: ",
                   leaked, " times got it, then ", refused, " times 403"));
  Check(leaked > 0 && refused > 0 && leaked + refused == answers.size() &&
            Changes(answers) == 1,
        "another answer, or another order");
}

int Demo::Play() {
  std::printf("A file server of four threads; a file lies beside its folder\n");
  Ask("/../secret.txt", "403 403 Forbidden");
  Ask(kSecret, "200 the secret");
  Instarctl("check");
  std::printf(
      "\nwrk asks for a page over 16 connections, two curls ask for "
      "the secret\n");
  WrkLoad wrk(server_, site_);
  wrk.AwaitChecked(4);
  CurlLoad first(server_), second(server_);
  first.AwaitAnswers(200);
  second.AwaitAnswers(200);
  Instarctl("load");
  Ask(kSecret, "403 403 Forbidden");
  wrk.AwaitChecked(4);
  first.AwaitAnswers(200);
  second.AwaitAnswers(200);
  std::printf("\nWhat the clients say\n");
  CheckAnswers(first.Stop());
  CheckAnswers(second.Stop());
  const std::string said = wrk.Stop();
  Say("wrk: " + said);
  Check(absl::StrContains(said,
                          ", 0 wrong, 0 connections refused or broken, "
                          "0 late"),
        "a request was lost or answered wrongly");
  Check(server_.End() == 0, "the server ended with an error");
  std::printf("\n%s\n", wrong_ == 0
                            ? "Every answer was right."
                            : absl::StrCat(wrong_, " went wrong.").c_str());
  return wrong_ == 0 ? 0 : 1;
}

}  // namespace
}  // namespace file_server

int main() { return file_server::Demo().Play(); }

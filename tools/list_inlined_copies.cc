// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
//   list_inlined_copies PROGRAM
//
// Writes the list of the program's inlined copies
// (code/symbols/inlining/inlined_copy_list.h).

#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "code/symbols/inlining/inlined_copy_list.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: list_inlined_copies PROGRAM\n");
    return 2;
  }
  const absl::StatusOr<std::string> list = instar::ListInlinedCopies(argv[1]);
  if (!list.ok()) {
    const std::string why(list.status().message());
    std::fprintf(stderr, "list_inlined_copies: %s\n", why.c_str());
    return 1;
  }
  if (std::fputs(list->c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    std::perror("list_inlined_copies: the list cannot be written");
    return 1;
  }
  return 0;
}

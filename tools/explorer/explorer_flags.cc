// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/explorer_flags.h"

#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tools/explorer/explorer.h"

namespace instar {

ExplorerFlags explorer_flags;

bool ReadExplorerFlags(int* argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    absl::string_view value = argv[i];
    int number = 0;
    const bool is_limit = absl::ConsumePrefix(&value, "--limit=");
    if (!is_limit && !absl::ConsumePrefix(&value, "--jobs=")) {
      argv[kept++] = argv[i];
      continue;
    }
    if (!absl::SimpleAtoi(value, &number) || number < 1) {
      std::fprintf(stderr, "explorer: %s: a number from 1 is wanted\n",
                   argv[i]);
      return false;
    }
    if (is_limit) {
      explorer_flags.limit = static_cast<std::size_t>(number);
    } else {
      explorer_flags.jobs = number;
    }
  }
  *argc = kept;
  argv[kept] = nullptr;
  return true;
}

}  // namespace instar

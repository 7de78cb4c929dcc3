// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// For libFuzzer, which clang brings. From the root of the workspace:
//
//   tools/bazelw build --config=clang --linkopt=-fsanitize=address \
//       --copt=-fsanitize=fuzzer-no-link,address //manager/control/protocol_fuzz:protocol_fuzzer
//   bazel-bin/manager/control/protocol_fuzz/protocol_fuzzer FOLDER manager/control/protocol_fuzz/protocol_corpus
//
// What it finds goes into FOLDER; a find that matters, into protocol_corpus/,
// where protocol_fuzz_test reads it ever after.

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "manager/control/protocol_fuzz/protocol_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  instar::FeedProtocol({reinterpret_cast<const char*>(data), size});
  return 0;
}

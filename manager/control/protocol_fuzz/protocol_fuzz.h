// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is done with bytes that nobody vouches for, in protocol_fuzz_test.cc and
// in protocol_fuzzer.cc.

#ifndef INSTAR_MANAGER_CONTROL_PROTOCOL_FUZZ_PROTOCOL_FUZZ_H_
#define INSTAR_MANAGER_CONTROL_PROTOCOL_FUZZ_PROTOCOL_FUZZ_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace instar {

struct ProtocolFuzzResult {
  std::size_t frames = 0;
  std::size_t requests = 0;  // that were understood
  std::size_t replies = 0;   // that had a report of some kind
};

// Takes `bytes` as what a connection brought, in both directions. Aborts if
// they are read otherwise when they come in pieces, or if what was understood
// does not come back when it is sent on.
ProtocolFuzzResult FeedProtocol(absl::string_view bytes);

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_PROTOCOL_FUZZ_PROTOCOL_FUZZ_H_

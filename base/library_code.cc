// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/library_code.h"

namespace instar {

__thread std::atomic<std::uint32_t> LibraryCode::depth_{0};

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/version.h"

namespace instar {

const char* Version() { return INSTAR_VERSION; }

}  // namespace instar

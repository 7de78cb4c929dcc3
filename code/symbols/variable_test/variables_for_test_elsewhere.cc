// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/variable_test/variables_for_test.h"

namespace kept {

static int file_local = 20;

int* OtherFileLocal() { return &file_local; }

}  // namespace kept

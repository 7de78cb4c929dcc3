// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/no_allocation.h"

namespace instar {

__thread int NoAllocation::depth_ = 0;
__thread int AuthorsCode::depth_ = 0;
__thread const char* AuthorsPart::name_ = nullptr;

}  // namespace instar

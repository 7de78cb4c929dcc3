// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where functions have no entries (code/entries_here.h): none is redirected, so
// that nobody takes a redirection away.

#include "code/entry_check.h"

namespace instar {

std::string ChangedEntry::ToString() const { return function; }

std::vector<ChangedEntry> CheckRedirectedEntries() { return {}; }

}  // namespace instar

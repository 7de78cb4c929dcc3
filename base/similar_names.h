// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Names that resemble one that is not known, for the message that says so.
// Internal.
//
//   absl::StrCat("there is no thread '", name, "'",
//                SimilarNamesText(name, names));
//   // there is no thread 'sokcet'; similar: 'socket'
//
// Threads: any. Allocates.

#ifndef INSTAR_BASE_SIMILAR_NAMES_H_
#define INSTAR_BASE_SIMILAR_NAMES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace instar {

// How many letters must be changed, added, left out, or exchanged with the next
// one, to get from one to the other, up to `limit`: what is as far, or farther,
// is `limit`.
std::size_t EditDistance(absl::string_view a, absl::string_view b,
                         std::size_t limit);

// From how many such changes on a name resembles this one no more.
std::size_t SimilarityLimit(absl::string_view name);

// Those that resemble `wanted`, the nearest first, at most five: what differs
// by less than SimilarityLimit() letters, or only in upper and lower case, or
// has the other one in it, if that is three letters long.
std::vector<std::string> SimilarNames(absl::string_view wanted,
                                      const std::vector<std::string>& names);

// "; similar: 'socket', 'sockets'". If none resembles it, all there are, the
// first ten: "; there are 'display', 'main'", or "; there are none".
std::string SimilarNamesText(absl::string_view wanted,
                             const std::vector<std::string>& names);

}  // namespace instar

#endif  // INSTAR_BASE_SIMILAR_NAMES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Some of many, evenly. Internal to this package.

#ifndef INSTAR_TOOLS_EXPLORER_INTERNAL_SAMPLE_H_
#define INSTAR_TOOLS_EXPLORER_INTERNAL_SAMPLE_H_

#include <cstddef>
#include <vector>

namespace instar {
namespace explorer_internal {

// `limit` of the numbers 0 to `total` - 1, each once and in order, the first
// and the last among them; all if there are no more, or if `limit` is 0.
inline std::vector<std::size_t> SampleEvenly(std::size_t total,
                                             std::size_t limit) {
  const std::size_t size = limit == 0 || limit > total ? total : limit;
  std::vector<std::size_t> sample;
  for (std::size_t i = 0; i < size; ++i) {
    sample.push_back(size == 1 ? 0 : i * (total - 1) / (size - 1));
  }
  return sample;
}

}  // namespace explorer_internal
}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_INTERNAL_SAMPLE_H_

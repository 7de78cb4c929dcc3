// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_CODE_RANGE_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_CODE_RANGE_H_

#include <cstdint>

namespace instar {

// Code addresses from `begin` to before `end`.
struct CodeRange {
  uintptr_t begin = 0;
  uintptr_t end = 0;

  bool Contains(uintptr_t address) const {
    return begin <= address && address < end;
  }
  friend bool operator==(const CodeRange& a, const CodeRange& b) {
    return a.begin == b.begin && a.end == b.end;
  }
};

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_CODE_RANGE_H_

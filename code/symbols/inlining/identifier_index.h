// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Names by the identifiers in them, so that those with a class in them are
// found without looking at all of a program's.
//
//   "_ZN4shop4Site6RenderEv" has the parts "4shop", "4Site" and "6Render"
//
// A part is a number and as many characters after it (Itanium C++ ABI, 5.1.2).
// Every place where one might begin is indexed, so that the candidates are at
// least the names that contain it.
//
// Threads: immutable once made.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_IDENTIFIER_INDEX_H_
#define INSTAR_CODE_SYMBOLS_INLINING_IDENTIFIER_INDEX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace instar {
namespace code_internal {

class IdentifierIndex {
 public:
  // While it is filled: `number` is what Candidates() answers.
  void Add(absl::string_view linkage_name, uint32_t number);
  void Finish();

  // Of the names that contain this part, and perhaps of a few others; in
  // order, each once.
  std::vector<uint32_t> Candidates(absl::Span<const std::string> parts) const;

 private:
  struct Entry {
    uint32_t hash;  // of a part
    uint32_t number;
  };

  std::vector<Entry> entries_;  // in order
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INLINING_IDENTIFIER_INDEX_H_

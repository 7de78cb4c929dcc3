// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Names with numbers, each name kept once: its letters and 16 bytes.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_NAME_LIST_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_NAME_LIST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace code_internal {

class NameList {
 public:
  // The number of the name, a new one if it has none: from 0 on.
  std::uint32_t Add(absl::string_view name);
  // After the last one, and before Find().
  void Finish();

  std::optional<std::uint32_t> Find(absl::string_view name) const;
  absl::string_view operator[](std::uint32_t number) const {
    return names_[number];
  }
  std::size_t size() const { return names_.size(); }
  // What the letters take.
  std::size_t bytes() const { return chunks_.size() * kChunk; }

 private:
  static constexpr std::size_t kChunk = std::size_t{1} << 16;

  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t room_ = 0;  // at the end of the last chunk
  std::vector<const char*> names_;
  // While they are added; then the numbers in the order of the names.
  absl::flat_hash_map<absl::string_view, std::uint32_t> numbers_;
  std::vector<std::uint32_t> in_order_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_NAME_LIST_H_

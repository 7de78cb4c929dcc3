// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/name_list.h"

#include <algorithm>
#include <cstring>

namespace instar {
namespace code_internal {

std::uint32_t NameList::Add(absl::string_view name) {
  const auto known = numbers_.find(name);
  if (known != numbers_.end()) return known->second;
  const std::size_t size = name.size() + 1;
  char* letters = nullptr;
  if (size <= room_) {
    letters = chunks_.back().get() + kChunk - room_;
    room_ -= size;
  } else {
    chunks_.push_back(std::make_unique<char[]>(std::max(size, kChunk)));
    letters = chunks_.back().get();
    room_ = size < kChunk ? kChunk - size : 0;
  }
  std::memcpy(letters, name.data(), name.size());
  letters[name.size()] = '\0';
  const auto number = static_cast<std::uint32_t>(names_.size());
  names_.push_back(letters);
  numbers_.emplace(absl::string_view(letters, name.size()), number);
  return number;
}

void NameList::Finish() {
  numbers_ = {};
  names_.shrink_to_fit();
  in_order_.reserve(names_.size());
  for (std::uint32_t i = 0; i < names_.size(); ++i) in_order_.push_back(i);
  std::sort(in_order_.begin(), in_order_.end(),
            [this](std::uint32_t a, std::uint32_t b) {
              return std::strcmp(names_[a], names_[b]) < 0;
            });
}

std::optional<std::uint32_t> NameList::Find(absl::string_view name) const {
  const auto found =
      std::lower_bound(in_order_.begin(), in_order_.end(), name,
                       [this](std::uint32_t number, absl::string_view wanted) {
                         return absl::string_view(names_[number]) < wanted;
                       });
  if (found == in_order_.end() || names_[*found] != name) return std::nullopt;
  return *found;
}

}  // namespace code_internal
}  // namespace instar

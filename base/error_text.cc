// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/error_text.h"

#include <algorithm>
#include <cstring>

namespace instar {
namespace {

struct Text {
  absl::StatusCode code;  // OK: none
  char text[base_internal::kMostErrorText];
};

constexpr int kTexts = 4;

__thread Text texts[kTexts];
__thread int newest;  // of `texts`

Text* Find(absl::StatusCode code) {
  for (int i = 0; i < kTexts; ++i) {
    Text& text = texts[(newest + kTexts - i) % kTexts];
    if (text.code == code) return &text;
  }
  return nullptr;
}

}  // namespace

namespace base_internal {

char* PutErrorTextAside(absl::StatusCode code) {
  newest = (newest + 1) % kTexts;
  texts[newest].code = code;
  return texts[newest].text;
}

}  // namespace base_internal

absl::Status WithText(absl::Status error) {
  if (error.ok() || !error.message().empty()) return error;
  Text* const text = Find(error.code());
  if (text == nullptr) return error;
  text->code = absl::StatusCode::kOk;
  return absl::Status(error.code(), text->text);
}

const char* TextOf(const absl::Status& error) {
  static __thread char copy[base_internal::kMostErrorText];
  const Text* const text =
      error.message().empty() ? Find(error.code()) : nullptr;
  const absl::string_view from =
      text == nullptr ? error.message() : absl::string_view(text->text);
  const std::size_t size = std::min(from.size(), sizeof(copy) - 1);
  std::memcpy(copy, from.data(), size);
  copy[size] = '\0';
  return copy;
}

}  // namespace instar

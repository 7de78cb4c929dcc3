// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/frame.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace instar {
namespace {

std::size_t DecodeLength(absl::string_view bytes) {
  std::size_t length = 0;
  for (std::size_t i = kFrameHeaderBytes; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return length;
}

}  // namespace

std::string MakeFrame(absl::string_view contents) {
  INSTAR_CHECK(contents.size() <= kMaxFrameBytes)
      << "a frame of " << contents.size() << " bytes";
  std::string frame;
  frame.reserve(kFrameHeaderBytes + contents.size());
  for (std::size_t i = 0; i < kFrameHeaderBytes; ++i) {
    frame.push_back(static_cast<char>(contents.size() >> (8 * i) & 0xff));
  }
  frame.append(contents.data(), contents.size());
  return frame;
}

void FrameParser::Append(absl::string_view bytes) {
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_.append(bytes.data(), bytes.size());
}

absl::StatusOr<std::optional<absl::string_view>> FrameParser::Next() {
  const absl::string_view rest = absl::string_view(buffer_).substr(begin_);
  if (rest.size() < kFrameHeaderBytes) return std::nullopt;
  const std::size_t length = DecodeLength(rest);
  if (length > max_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("a frame of ", length, " bytes was announced, and ",
                     max_bytes_, " are the limit"));
  }
  if (rest.size() - kFrameHeaderBytes < length) return std::nullopt;
  begin_ += kFrameHeaderBytes + length;
  return rest.substr(kFrameHeaderBytes, length);
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The frames in which requests and replies travel on a control socket: four
// bytes that say how many follow, the lowest first, and those that follow.
//
//   FrameParser parser(kMaxRequestBytes);
//   while (...) {
//     parser.Append(received);
//     while (true) {
//       INSTAR_ASSIGN_OR_RETURN(std::optional<absl::string_view> frame,
//                               parser.Next());
//       if (!frame.has_value()) break;  // more must be received
//       Handle(*frame);
//     }
//   }
//
// Threads: each parser by one at a time.

#ifndef INSTAR_MANAGER_CONTROL_FRAME_H_
#define INSTAR_MANAGER_CONTROL_FRAME_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {

// Without the four bytes before it.
inline constexpr std::size_t kMaxFrameBytes = 1 << 20;
// A program takes shorter ones: none needs more than a path.
inline constexpr std::size_t kMaxRequestBytes = 1 << 16;

inline constexpr std::size_t kFrameHeaderBytes = 4;

// The whole frame. `contents` has at most kMaxFrameBytes.
std::string MakeFrame(absl::string_view contents);

class FrameParser {
 public:
  explicit FrameParser(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  // Pieces of any size. A length is believed when as many bytes have come: what
  // is announced costs no memory. While frames are taken as they come, less
  // than one frame is held, and what was appended last.
  void Append(absl::string_view bytes);

  // The contents of the next frame that is complete, valid until the next call;
  // nothing if more bytes are needed. InvalidArgument if a frame is announced
  // that is longer than the limit: what follows can no longer be told apart,
  // and each later call answers the same.
  absl::StatusOr<std::optional<absl::string_view>> Next();

  // Whether it is between two frames.
  bool is_at_boundary() const { return begin_ == buffer_.size(); }

 private:
  std::size_t max_bytes_;
  std::string buffer_;
  std::size_t begin_ = 0;  // in buffer_: what is before it has been taken
};

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_FRAME_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/protocol_fuzz/protocol_fuzz.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/check.h"
#include "manager/control/frame.h"
#include "manager/control/protocol.h"
#include "manager/control/report_json.h"

namespace instar {
namespace {

// The frames, then how it ended.
struct Read {
  std::vector<std::string> frames;
  absl::Status error;
  bool is_at_boundary = false;
};

Read ReadInPieces(absl::string_view bytes, std::size_t size) {
  Read read;
  FrameParser parser(kMaxRequestBytes);
  while (!bytes.empty() && read.error.ok()) {
    parser.Append(bytes.substr(0, size));
    bytes.remove_prefix(std::min(size, bytes.size()));
    while (true) {
      const auto frame = parser.Next();
      if (!frame.ok()) read.error = frame.status();
      if (!frame.ok() || !frame->has_value()) break;
      read.frames.emplace_back(**frame);
    }
  }
  read.is_at_boundary = parser.is_at_boundary();
  return read;
}

bool IsRequest(const std::string& text) {
  const DecodedRequest decoded = DecodeRequest(text);
  if (!decoded.request.ok()) {
    INSTAR_CHECK(!decoded.request.status().message().empty());
    EncodeError(decoded.id, decoded.request.status());
    return false;
  }
  INSTAR_CHECK(decoded.id >= 1 && decoded.request->id == decoded.id);
  const auto again = EncodeRequest(*decoded.request);
  INSTAR_CHECK(again.ok()) << again.status();
  const auto back = EncodeRequest(*DecodeRequest(*again).request);
  INSTAR_CHECK(back.ok() && *back == *again) << text;
  return true;
}

template <typename Report>
bool IsReport(const Reply& reply) {
  const auto report = reply.As<Report>();
  if (!report.ok()) return false;
  const std::string text = ToJson(*report);
  const auto again = FromJson<Report>(text);
  INSTAR_CHECK(again.ok()) << again.status() << ": " << text;
  INSTAR_CHECK(ToJson(*again) == text) << text;
  EncodeReply(reply.id(), report);
  return true;
}

bool IsReply(const std::string& text) {
  const auto reply = DecodeReply(text);
  if (!reply.ok()) return false;
  // Each is tried.
  return IsReport<ProgramReport>(*reply) + IsReport<StatusReport>(*reply) +
             IsReport<UpdateReport>(*reply) + IsReport<CheckReport>(*reply) +
             IsReport<CancelReport>(*reply) + IsReport<JournalReport>(*reply) +
             IsReport<ImagesReport>(*reply) + IsReport<UnloadReport>(*reply) >
         0;
}

}  // namespace

ProtocolFuzzResult FeedProtocol(absl::string_view bytes) {
  const Read whole = ReadInPieces(bytes, bytes.size());
  for (const std::size_t size : {1, 3, 64}) {
    const Read read = ReadInPieces(bytes, size);
    INSTAR_CHECK(read.frames == whole.frames);
    INSTAR_CHECK(read.error == whole.error) << read.error;
    INSTAR_CHECK(!whole.error.ok() ||
                 read.is_at_boundary == whole.is_at_boundary);
  }
  ProtocolFuzzResult result;
  result.frames = whole.frames.size();
  for (const std::string& frame : whole.frames) {
    result.requests += IsRequest(frame);
    result.replies += IsReply(frame);
  }
  return result;
}

}  // namespace instar

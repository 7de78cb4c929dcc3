// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/protocol.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "manager/control/frame.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace {

using nlohmann::json;

// What is asked to be longer is taken for this: a year.
constexpr std::chrono::hours kLongestTimeout(365 * 24);

constexpr const char* kCommandNames[kCommands] = {
    "program", "status", "check",  "load",  "undo",
    "cancel",  "log",    "images", "unload"};

json Parse(absl::string_view text) {
  return json::parse(text.begin(), text.end(), nullptr,
                     /*allow_exceptions=*/false);
}

// The field's value if it is a number that fits; nothing of it is changed
// otherwise.
absl::Status ReadNumber(const json& object, const char* name,
                        std::int64_t minimum, std::int64_t* value) {
  const auto field = object.find(name);
  if (field == object.end()) return absl::OkStatus();
  // A number that is not negative is unsigned here, and may be too large.
  const bool is_too_large =
      field->is_number_unsigned() &&
      field->get<std::uint64_t>() >
          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!field->is_number_integer() || is_too_large ||
      field->get<std::int64_t>() < minimum) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", name, "\" must be an integer that is not below ", minimum));
  }
  *value = field->get<std::int64_t>();
  return absl::OkStatus();
}

absl::Status ReadFlag(const json& object, const char* name, bool* value) {
  const auto field = object.find(name);
  if (field == object.end()) return absl::OkStatus();
  if (!field->is_boolean()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" must be true or false"));
  }
  *value = field->get<bool>();
  return absl::OkStatus();
}

absl::Status ReadText(const json& object, const char* name,
                      std::string* value) {
  const auto field = object.find(name);
  if (field == object.end()) return absl::OkStatus();
  if (!field->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" must be a string"));
  }
  *value = field->get_ref<const std::string&>();
  if (value->find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" contains a zero"));
  }
  return absl::OkStatus();
}

absl::Status CheckVersion(const json& object) {
  const auto version = object.find("version");
  if (version == object.end() || !version->is_number_integer()) {
    return absl::InvalidArgumentError(
        "\"version\" is missing, or is no integer");
  }
  if (*version != kProtocolVersion) {
    return absl::UnimplementedError(absl::StrCat(
        "this program speaks version ", kProtocolVersion,
        " of the control protocol, and was sent a request of version ",
        manager_internal::Dump(*version),
        "; use the instarctl that was built with it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Command> ReadCommand(const json& object) {
  std::string name;
  INSTAR_RETURN_IF_ERROR(ReadText(object, "request", &name));
  if (name.empty()) {
    return absl::InvalidArgumentError(
        "\"request\", the name of a command, is missing");
  }
  for (int i = 0; i < kCommands; ++i) {
    if (name == kCommandNames[i]) return static_cast<Command>(i);
  }
  return absl::UnimplementedError(
      absl::StrCat("\"", name, "\" is no command that this program knows"));
}

absl::StatusOr<Request> ReadRequest(const json& object, std::int64_t id) {
  INSTAR_RETURN_IF_ERROR(CheckVersion(object));
  Request request;
  request.id = id;
  INSTAR_ASSIGN_OR_RETURN(request.command, ReadCommand(object));
  INSTAR_RETURN_IF_ERROR(ReadText(object, "path", &request.path));
  INSTAR_RETURN_IF_ERROR(ReadText(object, "update", &request.update));
  std::int64_t timeout =
      (request.command == Command::kUnload ? kDefaultHold : kDefaultTimeout)
          .count();
  INSTAR_RETURN_IF_ERROR(ReadNumber(object, "timeout_ns", 0, &timeout));
  request.timeout = std::min<std::chrono::nanoseconds>(
      std::chrono::nanoseconds(timeout), kLongestTimeout);
  std::int64_t entries = kDefaultLogEntries;
  INSTAR_RETURN_IF_ERROR(ReadNumber(object, "entries", 0, &entries));
  request.entries = static_cast<std::size_t>(entries);
  INSTAR_RETURN_IF_ERROR(
      ReadFlag(object, "without_stacks", &request.without_stacks));
  INSTAR_RETURN_IF_ERROR(ReadFlag(object, "sends_file", &request.sends_file));

  if ((request.command == Command::kLoad ||
       request.command == Command::kCheck) &&
      (request.path.empty() || request.path[0] != '/')) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"path\" must be the absolute path of an update module, ",
                     "and is \"", request.path, "\""));
  }
  if (request.command == Command::kUnload && request.update.empty()) {
    return absl::InvalidArgumentError(
        "\"update\" must be the name of an update");
  }
  return request;
}

json ReplyTo(std::int64_t id) {
  return {{"version", kProtocolVersion}, {"id", id}};
}

}  // namespace

const char* ToString(Command command) {
  return kCommandNames[static_cast<int>(command)];
}

absl::StatusOr<std::string> EncodeRequest(const Request& request) {
  json object = ReplyTo(request.id);
  object["request"] = ToString(request.command);
  switch (request.command) {
    case Command::kProgram:
    case Command::kStatus:
    case Command::kImages:
      break;
    case Command::kLoad:
      object["timeout_ns"] = request.timeout.count();
      object["path"] = request.path;
      if (request.sends_file) object["sends_file"] = true;
      break;
    case Command::kCheck:
      object["path"] = request.path;
      if (request.sends_file) object["sends_file"] = true;
      if (request.without_stacks) object["without_stacks"] = true;
      break;
    case Command::kUndo:
    case Command::kUnload:
      object["timeout_ns"] = request.timeout.count();
      [[fallthrough]];
    case Command::kCancel:
      object["update"] = request.update;
      break;
    case Command::kLog:
      object["entries"] = request.entries;
      break;
  }
  std::string text;
  try {
    text = object.dump();
  } catch (const json::type_error&) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", request.path, request.update,
                     "\" is not UTF-8 and cannot be sent; rename the file"));
  }
  if (text.size() > kMaxRequestBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a request of ", text.size(), " bytes is longer than the ",
                     kMaxRequestBytes, " that a program takes"));
  }
  return text;
}

DecodedRequest DecodeRequest(absl::string_view text) {
  const json object = Parse(text);
  if (!object.is_object()) {
    return {0, absl::InvalidArgumentError("a request must be a JSON object")};
  }
  std::int64_t id = 0;
  absl::Status status = ReadNumber(object, "id", 1, &id);
  if (status.ok() && id == 0) {
    status = absl::InvalidArgumentError("\"id\" is missing");
  }
  if (!status.ok()) return {0, std::move(status)};
  return {id, ReadRequest(object, id)};
}

template <typename Report>
std::string EncodeReply(std::int64_t id, const absl::StatusOr<Report>& report) {
  if (!report.ok()) return EncodeError(id, report.status());
  json object = ReplyTo(id);
  object["ok"] = manager_internal::ReportToJson(*report);
  std::string text = manager_internal::Dump(object);
  if (text.size() <= kMaxFrameBytes) return text;
  return EncodeError(id, absl::ResourceExhaustedError(absl::StrCat(
                             "the answer has ", text.size(), " bytes, and ",
                             kMaxFrameBytes, " are the limit")));
}

std::string EncodeError(std::int64_t id, const absl::Status& error) {
  json object = ReplyTo(id);
  object["error"] = manager_internal::ErrorToJson(error);
  std::string text = manager_internal::Dump(object);
  if (text.size() <= kMaxFrameBytes) return text;
  // The beginning of a message says most. A byte becomes at most six in JSON,
  // and three more if it is no UTF-8.
  return EncodeError(
      id, absl::Status(error.code(),
                       absl::StrCat(error.message().substr(0, 1 << 16),
                                    " [the rest was too long]")));
}

#define INSTAR_INSTANTIATE(Report)                                 \
  template std::string EncodeReply(std::int64_t,                   \
                                   const absl::StatusOr<Report>&); \
  template <>                                                      \
  absl::StatusOr<Report> Reply::As() const {                       \
    if (!status_.ok()) return status_;                             \
    return manager_internal::ReportFromJson<Report>(*report_);     \
  }

INSTAR_INSTANTIATE(ProgramReport)
INSTAR_INSTANTIATE(StatusReport)
INSTAR_INSTANTIATE(UpdateReport)
INSTAR_INSTANTIATE(CheckReport)
INSTAR_INSTANTIATE(CancelReport)
INSTAR_INSTANTIATE(JournalReport)
INSTAR_INSTANTIATE(ImagesReport)
INSTAR_INSTANTIATE(UnloadReport)

#undef INSTAR_INSTANTIATE

absl::StatusOr<Reply> DecodeReply(absl::string_view text) {
  json object = Parse(text);
  if (!object.is_object()) {
    return absl::InvalidArgumentError("a reply is not a JSON object");
  }
  Reply reply;
  INSTAR_RETURN_IF_ERROR(ReadNumber(object, "id", 0, &reply.id_));
  const auto error = object.find("error");
  const auto report = object.find("ok");
  if ((error == object.end()) == (report == object.end())) {
    return absl::InvalidArgumentError(
        "a reply must have either \"ok\" or \"error\"");
  }
  if (error != object.end()) {
    reply.status_ = manager_internal::ErrorFromJson(*error);
  } else {
    reply.report_ = std::make_shared<const json>(std::move(*report));
  }
  return reply;
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/opus/http.h"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/core/tcp_stream.hpp"
#include "boost/beast/http/error.hpp"
#include "boost/beast/http/parser.hpp"
#include "boost/beast/http/read.hpp"
#include "boost/beast/http/write.hpp"
#include "examples/opus/files.h"

namespace file_server {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kLongestHeader = std::size_t{8} << 10;  // bytes
constexpr std::size_t kLongestBody = std::size_t{64} << 10;   // bytes
constexpr std::chrono::seconds kPatience(30);

const char* TypeOf(absl::string_view path) {
  if (absl::EndsWith(path, ".css")) return "text/css";
  if (absl::EndsWith(path, ".html") || absl::EndsWith(path, "/")) {
    return "text/html";
  }
  if (absl::EndsWith(path, ".svg")) return "image/svg+xml";
  if (absl::EndsWith(path, ".txt")) return "text/plain";
  return "application/octet-stream";
}

http::status StatusOf(const absl::Status& status) {
  if (absl::IsPermissionDenied(status)) return http::status::forbidden;
  if (absl::IsNotFound(status)) return http::status::not_found;
  return http::status::internal_server_error;
}

Response Refusal(http::status status) {
  Response response(status, 11);
  response.set(http::field::content_type, "text/plain");
  response.body() =
      absl::StrCat(static_cast<unsigned>(status), " ",
                   std::string(http::obsolete_reason(status)), "\n");
  return response;
}

// What is wrong with what the client sent. Nothing: it has gone, or is silent.
std::optional<http::status> FaultOf(error_code error) {
  if (error == http::error::end_of_stream ||
      error == http::error::partial_message) {
    return std::nullopt;
  }
  if (error == http::error::header_limit) {
    return http::status::request_header_fields_too_large;
  }
  if (error == http::error::body_limit) return http::status::payload_too_large;
  if (error.category() == make_error_code(http::error::bad_method).category()) {
    return http::status::bad_request;
  }
  return std::nullopt;
}

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tcp::socket socket) : stream_(std::move(socket)) {}

  void Read() {
    parser_.emplace();
    parser_->header_limit(kLongestHeader);
    parser_->body_limit(kLongestBody);
    stream_.expires_after(kPatience);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, std::size_t) {
          self->OnRead(error);
        });
  }

 private:
  void OnRead(error_code error) {
    if (!error) return Write(Answer(parser_->get()));
    const std::optional<http::status> fault = FaultOf(error);
    if (!fault.has_value()) return Close();
    Response response = Refusal(*fault);
    response.keep_alive(false);
    response.prepare_payload();
    Write(std::move(response));
  }

  void Write(Response response) {
    response_ = std::move(response);
    stream_.expires_after(kPatience);
    http::async_write(
        stream_, response_,
        [self = shared_from_this()](error_code error, std::size_t) {
          if (error || self->response_.need_eof()) return self->Close();
          self->Read();
        });
  }

  void Close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  Response response_;
};

}  // namespace

Response Answer(const Request& request) {
  const bool is_head = request.method() == http::verb::head;
  Response response;
  if (is_head || request.method() == http::verb::get) {
    const std::string target(request.target());
    absl::StatusOr<std::string> contents = ReadFile(target);
    if (contents.ok()) {
      response.result(http::status::ok);
      response.set(http::field::content_type, TypeOf(WithoutQuery(target)));
      response.body() = *std::move(contents);
    } else {
      response = Refusal(StatusOf(contents.status()));
    }
  } else {
    response = Refusal(http::status::method_not_allowed);
    response.set(http::field::allow, "GET, HEAD");
  }
  response.version(request.version());
  response.keep_alive(request.keep_alive());
  const std::size_t size = response.body().size();
  if (is_head) response.body().clear();
  response.content_length(size);
  return response;
}

void ServeHttp(tcp::socket socket) {
  std::make_shared<Session>(std::move(socket))->Read();
}

}  // namespace file_server

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_MANAGER_CONTROL_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_MANAGER_CONTROL_INTERNAL_HEADER_EXAMPLES_H_

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "manager/control/fake_control_service.h"

namespace instar {
namespace header_examples {

namespace control_client_h {
using std::chrono::milliseconds;
extern const RunningProgram program;
extern ControlClient client;
}  // namespace control_client_h

namespace control_server_h {
extern FakeControlService service;
}  // namespace control_server_h

namespace frame_h {
extern const std::string received;
extern const int kMaxRequestBytes;
void Handle(absl::string_view frame);
}  // namespace frame_h

namespace protocol_h {
extern const std::string received;
}  // namespace protocol_h

namespace report_json_h {
extern const StatusReport status_report;
}  // namespace report_json_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_INTERNAL_HEADER_EXAMPLES_H_

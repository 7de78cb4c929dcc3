// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The reports of manager/control/control_service.h as JSON, as
// docs/control_protocol.md describes it.
//
//   std::string text = ToJson(status_report);
//   INSTAR_ASSIGN_OR_RETURN(StatusReport report,
//                           FromJson<StatusReport>(text));
//
// The names of the fields are those of the structs, with the unit where there
// is one: `elapsed_ns`. A field that is missing keeps its default, one that is
// not known is passed over: the two sides need not be of one version. A field
// of the wrong type is an error.
//
// Text that is no UTF-8 is sent with U+FFFD in place of what is wrong.
//
// Errors: InvalidArgument, which names the field.
// Threads: all functions may be called from any thread.

#ifndef INSTAR_MANAGER_CONTROL_REPORT_JSON_H_
#define INSTAR_MANAGER_CONTROL_REPORT_JSON_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/control/control_service.h"
#include "nlohmann/json_fwd.hpp"

namespace instar {

// What Cancel() answers.
struct CancelReport {
  std::vector<std::string> updates;
};

// What Journal() answers: the latest entries.
struct JournalReport {
  std::vector<JournalEntry> entries;
  std::size_t omitted = 0;  // older ones
};

// What Images() answers.
struct ImagesReport {
  std::vector<ImageReport> images;
};

// Defined for ProgramReport, StatusReport, UpdateReport, CheckReport,
// CancelReport, JournalReport, ImagesReport and UnloadReport. Human-readable if
// `indent` is not negative.
template <typename Report>
std::string ToJson(const Report& report, int indent = -1);

template <typename Report>
absl::StatusOr<Report> FromJson(absl::string_view text);

// By these names.
const char* ToString(UpdatePhase phase);
const char* ToString(PendingKind kind);
const char* ToString(ModuleKind kind);

namespace manager_internal {

// The same for the values of a JSON library, and for single errors.
template <typename Report>
nlohmann::json ReportToJson(const Report& report);
template <typename Report>
absl::StatusOr<Report> ReportFromJson(const nlohmann::json& json);

nlohmann::json ErrorToJson(const absl::Status& error);
// InvalidArgument if `json` is no error.
absl::Status ErrorFromJson(const nlohmann::json& json);

std::string Dump(const nlohmann::json& json, int indent = -1);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_REPORT_JSON_H_

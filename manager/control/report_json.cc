// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Each struct is described once, by its Fields<>::Visit(); writing and reading
// follow that description, so that they cannot differ.

#include "manager/control/report_json.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace {

using nlohmann::json;

template <typename Report>
struct Fields;

#define INSTAR_FIELDS(Report)     \
  template <>                     \
  struct Fields<Report> {         \
    using R = Report;             \
    template <typename V>         \
    static void Visit(V&& visit); \
  };                              \
  template <typename V>           \
  void Fields<Report>::Visit(V&& visit)

INSTAR_FIELDS(ProgramReport) {
  visit("name", &R::name);
  visit("pid", &R::pid);
  visit("build_id", &R::build_id);
  visit("executable", &R::executable);
  visit("started_unix_us", &R::started);
  visit("requests", &R::requests);
  visit("errors", &R::errors);
}

INSTAR_FIELDS(ThreadReport) {
  visit("name", &R::name);
  visit("tid", &R::tid);
  visit("kind", &R::kind);
  visit("state", &R::state);
  visit("is_registered", &R::is_registered);
}

INSTAR_FIELDS(HoldTimes) {
  visit("threads", &R::threads);
  visit("median_ns", &R::median);
  visit("maximum_ns", &R::maximum);
  visit("by_signal", &R::by_signal);
  visit("stopping_ns", &R::stopping);
}

INSTAR_FIELDS(AppliedReport) {
  visit("update", &R::update);
  visit("module", &R::module);
  visit("applied_unix_us", &R::applied);
  visit("hold_times", &R::hold_times);
  visit("elapsed_ns", &R::elapsed);
  visit("is_converting", &R::is_converting);
  visit("can_undo", &R::can_undo);
  visit("lost_by_undo", &R::lost_by_undo);
}

INSTAR_FIELDS(Blocker) {
  visit("thread", &R::thread);
  visit("tid", &R::tid);
  visit("function", &R::function);
  visit("frame", &R::frame);
  visit("since_ns", &R::since);
  visit("reason", &R::reason);
  visit("remedy", &R::remedy);
}

INSTAR_FIELDS(UpdateProgress) {
  visit("phase", &R::phase);
  visit("attempts", &R::attempts);
  visit("elapsed_ns", &R::elapsed);
  visit("blockers", &R::blockers);
  visit("objects_converted", &R::objects_converted);
  visit("objects_total", &R::objects_total);
  visit("is_converting", &R::is_converting);
}

INSTAR_FIELDS(PendingReport) {
  visit("kind", &R::kind);
  visit("update", &R::update);
  visit("module", &R::module);
  visit("waits_for", &R::waits_for);
  visit("timeout_ns", &R::timeout);
  visit("elapsed_ns", &R::elapsed);
  visit("progress", &R::progress);
}

INSTAR_FIELDS(ObjectCounts) {
  visit("class_name", &R::class_name);
  visit("by_version", &R::by_version);
  visit("subclasses", &R::subclasses);
  visit("being_converted", &R::being_converted);
  visit("failed", &R::failed);
  visit("outside", &R::outside);
  visit("automatic", &R::automatic);
  visit("untracked", &R::untracked);
}

INSTAR_FIELDS(KeptReport) {
  visit("update", &R::update);
  visit("module", &R::module);
  visit("because", &R::because);
}

INSTAR_FIELDS(UnloadReport) {
  visit("update", &R::update);
  visit("unloaded", &R::unloaded);
  visit("kept", &R::kept);
}

INSTAR_FIELDS(StatusReport) {
  visit("program", &R::program);
  visit("remarks", &R::remarks);
  visit("threads", &R::threads);
  visit("applied", &R::applied);
  visit("pending", &R::pending);
  visit("classes", &R::classes);
  visit("kept", &R::kept);
}

INSTAR_FIELDS(UpdateReport) {
  visit("update", &R::update);
  visit("attempts", &R::attempts);
  visit("hold_times", &R::hold_times);
  visit("elapsed_ns", &R::elapsed);
  visit("queued_ns", &R::queued);
  visit("loading_ns", &R::loading);
  visit("preparing_ns", &R::preparing);
  visit("applying_ns", &R::applying);
  visit("objects_converted", &R::objects_converted);
  visit("remarks", &R::remarks);
}

INSTAR_FIELDS(UpdateForecast) {
  visit("steps", &R::steps);
  visit("obstacles", &R::obstacles);
  visit("remarks", &R::remarks);
  visit("can_undo", &R::can_undo);
  visit("lost_by_undo", &R::lost_by_undo);
}

INSTAR_FIELDS(CheckReport) {
  visit("update", &R::update);
  visit("kind", &R::kind);
  visit("code_size", &R::code_size);
  visit("loaded_size", &R::loaded_size);
  visit("required", &R::required);
  visit("forecast", &R::forecast);
  visit("blockers", &R::blockers);
}

INSTAR_FIELDS(JournalEntry) {
  visit("time_unix_us", &R::time);
  visit("pid", &R::pid);
  visit("event", &R::event);
  visit("update", &R::update);
  visit("detail", &R::detail);
}

INSTAR_FIELDS(CancelReport) { visit("updates", &R::updates); }

INSTAR_FIELDS(JournalReport) {
  visit("entries", &R::entries);
  visit("omitted", &R::omitted);
}

INSTAR_FIELDS(ImageReport) {
  visit("path", &R::path);
  visit("soname", &R::soname);
  visit("build_id", &R::build_id);
}

INSTAR_FIELDS(ImagesReport) { visit("images", &R::images); }

#undef INSTAR_FIELDS

// How many values an enumeration has; ToString() names them.
template <typename Enum>
constexpr int kValues = 0;
template <>
constexpr int kValues<ThreadKind> = 2;
template <>
constexpr int kValues<ThreadState> = kThreadStates;
template <>
constexpr int kValues<UpdatePhase> = 6;
template <>
constexpr int kValues<PendingKind> = 2;
template <>
constexpr int kValues<ModuleKind> = 4;

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// Writing. One overload for each kind of value.

json Write(const std::string& value) { return value; }
json Write(const absl::Status& value) {
  return value.ok() ? json() : manager_internal::ErrorToJson(value);
}
json Write(std::chrono::nanoseconds value) { return value.count(); }
json Write(SystemTime value) {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             value.time_since_epoch())
      .count();
}

json Write(const std::pair<std::string, std::size_t>& value) {
  return {{"name", value.first}, {"objects", value.second}};
}

template <typename T>
json Write(const T& value);

template <typename T>
json Write(const std::vector<T>& values) {
  json array = json::array();
  for (const T& value : values) array.push_back(Write(value));
  return array;
}

template <typename T>
json Write(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return ToString(value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return value;
  } else {
    json object = json::object();
    Fields<T>::Visit([&](const char* name, auto field) {
      object[name] = Write(value.*field);
    });
    return object;
  }
}

// Reading. False if the value is not of that kind; `error` then says more, if
// it was within.

bool Read(const json& from, std::string* value, std::string*) {
  if (!from.is_string()) return false;
  *value = from.get_ref<const std::string&>();
  return true;
}

bool Read(const json& from, bool* value, std::string*) {
  if (!from.is_boolean()) return false;
  *value = from.get<bool>();
  return true;
}

template <typename T>
std::enable_if_t<kIsInteger<T>, bool> Read(const json& from, T* value,
                                           std::string*) {
  using Limits = std::numeric_limits<T>;
  if (from.is_number_unsigned()) {
    const std::uint64_t number = from.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(Limits::max())) return false;
    *value = static_cast<T>(number);
    return true;
  }
  if (!from.is_number_integer()) return false;
  const std::int64_t number = from.get<std::int64_t>();  // negative
  if (!std::is_signed_v<T> ||
      number < static_cast<std::int64_t>(Limits::min())) {
    return false;
  }
  *value = static_cast<T>(number);
  return true;
}

bool Read(const json& from, std::chrono::nanoseconds* value,
          std::string* error) {
  std::int64_t count = 0;
  if (!Read(from, &count, error)) return false;
  *value = std::chrono::nanoseconds(count);
  return true;
}

bool Read(const json& from, SystemTime* value, std::string* error) {
  std::int64_t count = 0;
  if (!Read(from, &count, error)) return false;
  constexpr std::int64_t kLimit =
      std::numeric_limits<std::int64_t>::max() / 1000;  // as nanoseconds
  if (count > kLimit || count < -kLimit) return false;
  *value = SystemTime(std::chrono::microseconds(count));
  return true;
}

bool Read(const json& from, absl::Status* value, std::string*) {
  *value =
      from.is_null() ? absl::OkStatus() : manager_internal::ErrorFromJson(from);
  return true;
}

bool Read(const json& from, std::pair<std::string, std::size_t>* value,
          std::string* error) {
  return from.is_object() && from.contains("name") &&
         from.contains("objects") && Read(from["name"], &value->first, error) &&
         Read(from["objects"], &value->second, error);
}

template <typename T>
std::enable_if_t<std::is_enum_v<T>, bool> Read(const json& from, T* value,
                                               std::string*) {
  if (!from.is_string()) return false;
  static_assert(kValues<T> > 0);
  for (int i = 0; i < kValues<T>; ++i) {
    if (from.get_ref<const std::string&>() != ToString(static_cast<T>(i))) {
      continue;
    }
    *value = static_cast<T>(i);
    return true;
  }
  return false;
}

template <typename T>
std::enable_if_t<std::is_class_v<T>, bool> Read(const json& from, T* value,
                                                std::string* error);

template <typename T>
bool Read(const json& from, std::vector<T>* values, std::string* error) {
  if (!from.is_array()) return false;
  for (const json& element : from) {
    if (!Read(element, &values->emplace_back(), error)) return false;
  }
  return true;
}

template <typename T>
std::enable_if_t<std::is_class_v<T>, bool> Read(const json& from, T* value,
                                                std::string* error) {
  if (!from.is_object()) return false;
  bool is_ok = true;
  Fields<T>::Visit([&](const char* name, auto field) {
    if (!is_ok) return;
    const auto found = from.find(name);
    if (found == from.end()) return;
    is_ok = Read(*found, &(value->*field), error);
    if (!is_ok && error->empty()) *error = name;
  });
  return is_ok;
}

}  // namespace

const char* ToString(UpdatePhase phase) {
  constexpr const char* kNames[kValues<UpdatePhase>] = {
      "new", "prepared", "waiting", "changing", "applied", "broken"};
  return kNames[static_cast<int>(phase)];
}

const char* ToString(PendingKind kind) {
  return kind == PendingKind::kLoad ? "load" : "undo";
}

const char* ToString(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::kPlan:
      return "plan";
    case ModuleKind::kThreadUpdates:
      return "thread updates";
    case ModuleKind::kCPlan:
      return "plan in C";
    case ModuleKind::kGenerated:
      return "two builds";
  }
  return "?";
}

namespace manager_internal {

template <typename Report>
json ReportToJson(const Report& report) {
  return Write(report);
}

template <typename Report>
absl::StatusOr<Report> ReportFromJson(const json& from) {
  Report report;
  std::string error;
  if (Read(from, &report, &error)) return report;
  return absl::InvalidArgumentError(
      error.empty()
          ? std::string("a report is not a JSON object")
          : absl::StrCat("\"", error,
                         "\" of a report is of the wrong type, or has a value ",
                         "that is not known"));
}

json ErrorToJson(const absl::Status& error) {
  return {{"code", absl::StatusCodeToString(error.code())},
          {"message", std::string(error.message())}};
}

absl::Status ErrorFromJson(const json& from) {
  std::string code, message, unused;
  if (!from.is_object() || !from.contains("code") ||
      !Read(from["code"], &code, &unused)) {
    return absl::InvalidArgumentError("an error without a code was received");
  }
  if (from.contains("message")) Read(from["message"], &message, &unused);
  constexpr int kCodes = 17;  // of absl/status/status.h
  for (int i = 1; i < kCodes; ++i) {
    if (absl::StatusCodeToString(static_cast<absl::StatusCode>(i)) == code) {
      return absl::Status(static_cast<absl::StatusCode>(i), message);
    }
  }
  return absl::UnknownError(absl::StrCat(code, ": ", message));
}

std::string Dump(const json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false,
                    json::error_handler_t::replace);
}

}  // namespace manager_internal

template <typename Report>
std::string ToJson(const Report& report, int indent) {
  return manager_internal::Dump(Write(report), indent);
}

template <typename Report>
absl::StatusOr<Report> FromJson(absl::string_view text) {
  const json parsed = json::parse(text.begin(), text.end(), nullptr,
                                  /*allow_exceptions=*/false);
  return manager_internal::ReportFromJson<Report>(parsed);
}

#define INSTAR_INSTANTIATE(Report)                                          \
  template std::string ToJson(const Report&, int);                          \
  template absl::StatusOr<Report> FromJson<Report>(absl::string_view);      \
  template json manager_internal::ReportToJson(const Report&);              \
  template absl::StatusOr<Report> manager_internal::ReportFromJson<Report>( \
      const json&)

INSTAR_INSTANTIATE(ProgramReport);
INSTAR_INSTANTIATE(StatusReport);
INSTAR_INSTANTIATE(UpdateReport);
INSTAR_INSTANTIATE(CheckReport);
INSTAR_INSTANTIATE(CancelReport);
INSTAR_INSTANTIATE(JournalReport);
INSTAR_INSTANTIATE(ImagesReport);
INSTAR_INSTANTIATE(UnloadReport);

#undef INSTAR_INSTANTIATE

}  // namespace instar

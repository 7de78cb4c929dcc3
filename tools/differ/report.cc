// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/report.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace differ {
namespace {

const char* NameOf(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kRefusal:
      return "refused";
  }
  return "";
}

std::string LineOf(const ExplainedPlace& place) {
  if (place.instruction.empty()) return "the function ends";
  std::string out = place.file.empty()
                        ? "unknown line"
                        : absl::StrCat(place.file, ":", place.line);
  absl::StrAppend(&out, "  +0x", absl::Hex(place.offset), "  ",
                  place.instruction);
  for (const std::string& inlined : place.inlined) {
    absl::StrAppend(&out, "\n         in ", inlined, ", which is inlined");
  }
  return out;
}

void AppendExplanation(const Explanation& explanation, std::string& out) {
  absl::StrAppend(&out, explanation.object, ": ", explanation.function, ": ",
                  explanation.what, "\n");
  if (explanation.old_place) {
    absl::StrAppend(&out, "    old: ", LineOf(*explanation.old_place), "\n");
  }
  if (explanation.new_place) {
    absl::StrAppend(&out, "    new: ", LineOf(*explanation.new_place), "\n");
  }
}

nlohmann::json ToJson(const std::optional<ExplainedPlace>& place) {
  if (!place) return nullptr;
  return {{"file", place->file},
          {"line", place->line},
          {"offset", place->offset},
          {"instruction", place->instruction},
          {"inlined", place->inlined}};
}

std::string Counted(std::uint64_t count, const char* one) {
  return absl::StrCat(count, " ", one, count == 1 ? "" : "s");
}

}  // namespace

std::string ToText(const UpdateReport& report) {
  std::string out;
  std::string object;
  for (const ReportedChange& change : report.changes) {
    if (change.object != object) {
      object = change.object;
      absl::StrAppend(&out, object, ":\n");
    }
    absl::StrAppend(&out, "  ", change.is_new ? "new" : "changed", " ",
                    change.is_function ? "function " : "variable ",
                    change.name);
    if (!change.why.empty()) absl::StrAppend(&out, "  (", change.why, ")");
    out += '\n';
  }
  if (report.new_instances != 0) {
    absl::StrAppend(&out, "besides, ",
                    Counted(report.new_instances, "new instance"),
                    " of templates and inline functions\n");
  }
  for (const Explanation& explanation : report.explanations) {
    AppendExplanation(explanation, out);
  }
  for (const Severity severity :
       {Severity::kNote, Severity::kWarning, Severity::kRefusal}) {
    for (const Finding& finding : report.findings) {
      if (finding.severity != severity) continue;
      absl::StrAppend(&out, NameOf(severity), ": ",
                      finding.object.empty() ? "" : finding.object + ": ",
                      finding.message, "\n");
    }
  }
  if (!report.not_compared.empty()) {
    absl::StrAppend(&out, "not compared: ", Listed(report.not_compared),
                    ", of which no object was given\n");
  }
  if (!report.left_out.empty()) {
    absl::StrAppend(&out, Counted(report.left_out.size(), "object"),
                    " of other programs left out\n");
  }
  absl::StrAppend(&out, Counted(report.objects, "object"), " compared, ",
                  report.identical_objects, " identical; ",
                  Counted(report.same_functions, "function"), " the same");
  if (report.moved_functions != 0) {
    absl::StrAppend(&out, ", ", report.moved_functions,
                    " of them but for moved lines");
  }
  absl::StrAppend(&out, "; ", Counted(report.redirected_functions, "function"),
                  " to be redefined");
  if (report.hooks != 0) {
    absl::StrAppend(&out, ", ", Counted(report.hooks, "hook"));
  }
  out += '\n';
  if (report.is_empty() && !report.is_refused()) {
    out +=
        "No function of the program has changed: there is nothing to apply\n";
  }
  return out;
}

std::string ToJson(const UpdateReport& report) {
  nlohmann::json json;
  json["changes"] = nlohmann::json::array();
  for (const ReportedChange& change : report.changes) {
    nlohmann::json one = {
        {"object", change.object},
        {"name", change.name},
        {"kind", change.is_function ? "function" : "variable"},
        {"status", change.is_new ? "new" : "changed"}};
    if (!change.why.empty()) one["why"] = change.why;
    json["changes"].push_back(std::move(one));
  }
  json["findings"] = nlohmann::json::array();
  for (const Finding& finding : report.findings) {
    json["findings"].push_back({{"severity", NameOf(finding.severity)},
                                {"object", finding.object},
                                {"message", finding.message}});
  }
  if (!report.explanations.empty()) {
    json["explanations"] = nlohmann::json::array();
  }
  for (const Explanation& explanation : report.explanations) {
    json["explanations"].push_back({{"object", explanation.object},
                                    {"function", explanation.function},
                                    {"kind", NameOf(explanation.kind)},
                                    {"what", explanation.what},
                                    {"old", ToJson(explanation.old_place)},
                                    {"new", ToJson(explanation.new_place)}});
  }
  json["imports"] = report.imports;
  json["left_out"] = report.left_out;
  json["not_compared"] = report.not_compared;
  json["objects"] = report.objects;
  json["identical_objects"] = report.identical_objects;
  json["same_functions"] = report.same_functions;
  json["moved_functions"] = report.moved_functions;
  json["new_instances"] = report.new_instances;
  json["redirected_functions"] = report.redirected_functions;
  json["hooks"] = report.hooks;
  json["is_refused"] = report.is_refused();
  // Names of symbols and files need not be UTF-8.
  return json.dump(2, ' ', /*ensure_ascii=*/false,
                   nlohmann::json::error_handler_t::replace) +
         "\n";
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The plot of report.h: panels in a grid, a row for each kind and percentile
// and a column for each workload, and a legend at the end of each kind's first
// row.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "examples/mechanism_bench/report.h"

namespace mechanism_bench {
namespace {

// In pixels.
constexpr double kPanelWidth = 260, kPanelHeight = 140;
constexpr double kLeft = 90, kTop = 60, kGapX = 30, kGapY = 70;
constexpr double kLegendWidth = 300;

// The axis of latencies is logarithmic, in nanoseconds.
constexpr double kLowest = 1e4, kHighest = 1e8;

// Told apart by those who see colors differently, too (Okabe and Ito).
constexpr const char* kColors[] = {"#000000", "#0072b2", "#d55e00", "#009e73",
                                   "#cc79a7", "#e69f00", "#56b4e9", "#f0e442"};
constexpr int kColorCount = sizeof(kColors) / sizeof(kColors[0]);

// What a row shows of each slot.
struct Row {
  const char* name;
  double Percentiles::*value;
};
constexpr Row kRows[] = {{"p50", &Percentiles::p50},
                         {"p99", &Percentiles::p99},
                         {"longest", &Percentiles::maximum}};
constexpr int kRowCount = sizeof(kRows) / sizeof(kRows[0]);

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}});
}

// Each once, in the order in which they come.
template <typename Get>
std::vector<std::string> Distinct(const std::vector<Measurement>& measurements,
                                  Get get) {
  std::vector<std::string> names;
  for (const Measurement& m : measurements) {
    if (std::find(names.begin(), names.end(), get(m)) == names.end()) {
      names.push_back(get(m));
    }
  }
  return names;
}

double Y(double latency) {
  const double share =
      std::log(std::clamp(latency, kLowest, kHighest) / kLowest) /
      std::log(kHighest / kLowest);
  return kPanelHeight * (1 - share);
}
double X(double slot) { return kPanelWidth * slot / kSlots; }

const char* LabelOf(double latency) {
  return latency < 5e4   ? "10 us"
         : latency < 5e5 ? "100 us"
         : latency < 5e6 ? "1 ms"
         : latency < 5e7 ? "10 ms"
                         : "100 ms";
}

// `row` is said before the first panel of it.
void DrawFrame(const std::string& workload, const std::string& row,
               bool is_first, std::string* svg) {
  if (is_first) {
    absl::StrAppendFormat(svg,
                          "<text transform='translate(-66 %g) rotate(-90)' "
                          "text-anchor='middle' font-size='14'>%s</text>\n",
                          kPanelHeight / 2, Escaped(row));
  }
  absl::StrAppendFormat(
      svg,
      "<rect width='%g' height='%g' fill='none' stroke='#888'/>\n"
      "<text x='%g' y='-8' text-anchor='middle'>%s</text>\n",
      kPanelWidth, kPanelHeight, kPanelWidth / 2, Escaped(workload));
  for (double latency = kLowest; latency <= kHighest * 1.01; latency *= 10) {
    absl::StrAppendFormat(svg,
                          "<line x2='%g' y1='%g' y2='%g' stroke='#ddd'/>\n",
                          kPanelWidth, Y(latency), Y(latency));
    if (is_first) {
      absl::StrAppendFormat(svg,
                            "<text x='-6' y='%g' text-anchor='end'>%s</text>\n",
                            Y(latency) + 4, LabelOf(latency));
    }
  }
  const double begin = X(static_cast<double>(-kFirstSlot / kSlot));
  absl::StrAppendFormat(
      svg,
      "<line x1='%g' x2='%g' y2='%g' stroke='#888' stroke-dasharray='3 3'/>\n",
      begin, begin, kPanelHeight);
  for (int slot = 0; slot <= kSlots; slot += kSlots / 5) {
    const double ms =
        static_cast<double>((kFirstSlot + slot * kSlot).count()) / 1e6;
    absl::StrAppendFormat(
        svg, "<text x='%g' y='%g' text-anchor='middle'>%g</text>\n",
        X(static_cast<double>(slot)), kPanelHeight + 16, ms);
  }
  absl::StrAppendFormat(svg,
                        "<text x='%g' y='%g' text-anchor='middle'>ms since the "
                        "update began</text>\n",
                        kPanelWidth / 2, kPanelHeight + 34);
}

void DrawLine(const Measurement& m, const Row& row, const char* color,
              std::string* svg) {
  absl::StrAppendFormat(
      svg, "<polyline fill='none' stroke='%s' stroke-width='1.5' points='",
      color);
  for (std::size_t slot = 0; slot < m.over_time.size(); ++slot) {
    if (m.over_time[slot].requests == 0) continue;
    absl::StrAppendFormat(svg, "%.1f,%.1f ", X(static_cast<double>(slot) + 0.5),
                          Y(m.over_time[slot].*row.value));
  }
  absl::StrAppendFormat(svg, "'/>\n");
}

void DrawLegend(const std::vector<std::string>& names, double x, double y,
                std::string* svg) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double line = y + 12 + 20 * static_cast<double>(i);
    absl::StrAppendFormat(svg,
                          "<line x1='%g' x2='%g' y1='%g' y2='%g' stroke='%s' "
                          "stroke-width='2'/>\n<text x='%g' y='%g'>%s</text>\n",
                          x, x + 20, line, line, kColors[i % kColorCount],
                          x + 26, line + 4, Escaped(names[i]));
  }
}

// One row, from `y` on. `names`: of the mechanisms, in the order of colors.
void DrawRow(const std::vector<Measurement>& of_kind, const Row& row,
             const std::vector<std::string>& workloads,
             const std::vector<std::string>& names, double y,
             std::string* svg) {
  for (std::size_t column = 0; column < workloads.size(); ++column) {
    absl::StrAppendFormat(
        svg, "<g transform='translate(%g %g)'>\n",
        kLeft + static_cast<double>(column) * (kPanelWidth + kGapX), y);
    DrawFrame(workloads[column],
              absl::StrCat(of_kind.front().kind, ": ", row.name), column == 0,
              svg);
    for (const Measurement& m : of_kind) {
      if (m.workload != workloads[column]) continue;
      const auto found = std::find(names.begin(), names.end(), m.mechanism);
      DrawLine(m, row, kColors[(found - names.begin()) % kColorCount], svg);
    }
    absl::StrAppendFormat(svg, "</g>\n");
  }
}

}  // namespace

std::string PlotOf(const std::vector<Measurement>& measurements) {
  const auto kinds =
      Distinct(measurements, [](const Measurement& m) { return m.kind; });
  const auto workloads =
      Distinct(measurements, [](const Measurement& m) { return m.workload; });
  const double width =
      kLeft + static_cast<double>(workloads.size()) * (kPanelWidth + kGapX) +
      kLegendWidth;
  const double height = kTop + kRowCount * static_cast<double>(kinds.size()) *
                                   (kPanelHeight + kGapY);
  std::string svg = absl::StrFormat(
      "<svg xmlns='http://www.w3.org/2000/svg' width='%g' height='%g' "
      "font-family='sans-serif' font-size='12'>\n"
      "<rect width='100%%' height='100%%' fill='white'/>\n"
      "<text x='%g' y='22' font-size='15'>Latency of requests around an "
      "update, by mechanism</text>\n",
      width, height, kLeft);
  double y = kTop;
  for (const std::string& kind : kinds) {
    std::vector<Measurement> of_kind;
    for (const Measurement& m : measurements) {
      if (m.kind == kind) of_kind.push_back(m);
    }
    const auto names =
        Distinct(of_kind, [](const Measurement& m) { return m.mechanism; });
    DrawLegend(names, width - kLegendWidth, y, &svg);
    for (const Row& row : kRows) {
      DrawRow(of_kind, row, workloads, names, y, &svg);
      y += kPanelHeight + kGapY;
    }
  }
  return svg + "</svg>\n";
}

}  // namespace mechanism_bench

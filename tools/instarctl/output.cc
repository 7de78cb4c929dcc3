// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/output.h"

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace instar {
namespace instarctl {
namespace {

using std::chrono::nanoseconds;

std::string Coloured(bool has_colours, const char* code,
                     absl::string_view text) {
  if (!has_colours || text.empty()) return std::string(text);
  return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

// Columns of text, as wide as what stands in them; the last one ends its line.
class Table {
 public:
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  Lines Format(absl::string_view indent) const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) {
        widths[i] = std::max(widths[i], row[i].size());
      }
    }
    Lines lines;
    for (const auto& row : rows_) {
      std::string line(indent);
      for (std::size_t i = 0; i < row.size(); ++i) {
        line += row[i];
        if (i + 1 < row.size()) {
          line.append(widths[i] - row[i].size() + 2, ' ');
        }
      }
      line.erase(line.find_last_not_of(' ') + 1);
      lines.push_back(std::move(line));
    }
    return lines;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

void Append(Lines& lines, Lines more) {
  for (std::string& line : more) lines.push_back(std::move(line));
}

std::string Count(std::size_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

// "2026-11-25 18:45:24"
std::string TimeOfDay(SystemTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local = {};
  localtime_r(&seconds, &local);
  char text[32];
  return std::string(text,
                     strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local));
}

std::string HoldText(const HoldTimes& times) {
  if (times.threads == 0) return "no thread was held";
  const int at_points = times.threads - times.by_signal;
  std::string how;
  if (at_points == 0) {
    how = ", all by signal";
  } else if (times.by_signal > 0) {
    how = absl::StrCat(" (", at_points, " at update points, ", times.by_signal,
                       " by signal)");
  }
  return absl::StrCat("held ", Count(times.threads, "thread"), how, ": median ",
                      FormatDuration(times.median), ", at most ",
                      FormatDuration(times.maximum));
}

// What it waits for, as a sentence, and what would help.
Lines BlockerLines(const Blocker& blocker, const Style& style,
                   absl::string_view indent) {
  std::vector<std::string> parts;
  if (!blocker.thread.empty()) {
    parts.push_back(absl::StrCat(
        "thread ", blocker.thread,
        blocker.tid > 0 ? absl::StrCat(" (", blocker.tid, ")") : ""));
  }
  if (!blocker.function.empty()) {
    parts.push_back(absl::StrCat(
        "in ", blocker.function,
        blocker.frame >= 0 ? absl::StrCat(" (frame ", blocker.frame, ")")
                           : ""));
  }
  if (style.is_terminal && blocker.since.count() > 0) {
    parts.push_back(absl::StrCat("for ", FormatDuration(blocker.since)));
  }
  const std::string where = absl::StrJoin(parts, ", ");
  Lines lines;
  lines.push_back(absl::StrCat(
      indent, style.Bad(absl::StrCat(where, where.empty() ? "" : ": ",
                                     blocker.reason))));
  if (!blocker.remedy.empty()) {
    lines.push_back(
        absl::StrCat(indent, "  what would help: ", blocker.remedy));
  }
  return lines;
}

std::string PhaseText(const PendingReport& pending) {
  if (!pending.waits_for.empty()) {
    return absl::StrCat("waits for ", pending.waits_for);
  }
  switch (pending.progress.phase) {
    case UpdatePhase::kNew:
      return "is being prepared";
    case UpdatePhase::kPrepared:
      return "is prepared";
    case UpdatePhase::kWaiting:
      return "waits for a safe moment";
    case UpdatePhase::kChanging:
      return "takes effect";
    case UpdatePhase::kApplied:
      return pending.kind == PendingKind::kLoad ? "is applied"
                                                : "is being taken back";
    case UpdatePhase::kBroken:
      return "has failed, and the state of the program is unknown";
  }
  return "";
}

std::string PendingText(const PendingReport& pending, const Style& style) {
  std::string text =
      absl::StrCat(pending.kind == PendingKind::kUndo ? "undo of " : "",
                   pending.update.empty() ? pending.module : pending.update,
                   " ", PhaseText(pending));
  if (!style.is_terminal) return text;
  absl::StrAppend(&text, ": ", FormatDuration(pending.elapsed), " of ",
                  FormatDuration(pending.timeout));
  if (pending.progress.attempts > 0) {
    absl::StrAppend(&text, ", ", Count(pending.progress.attempts, "attempt"));
  }
  return text;
}

Lines ConversionLines(const UpdateProgress& progress, const Style& style) {
  if (progress.objects_total == 0) return {};
  if (style.is_terminal) {
    return {absl::StrCat(
        "  ", FormatBar(progress.objects_converted, progress.objects_total))};
  }
  // A line for each tenth.
  const std::size_t tenths =
      std::min(progress.objects_converted, progress.objects_total) * 10 /
      progress.objects_total;
  return {absl::StrCat("  converted ", tenths * 10, " % of ",
                       Count(progress.objects_total, "object"))};
}

Table ThreadTable(const StatusReport& status) {
  Table table;
  for (const ThreadReport& thread : status.threads) {
    table.Add({thread.name, absl::StrCat(thread.tid), ToString(thread.kind),
               ToString(thread.state),
               thread.is_registered ? "" : "not registered: left alone"});
  }
  return table;
}

// "120 Product, 40 ProductV2; 3 of subclasses: 3 Book; 1 being converted"
std::string ObjectText(const ObjectCounts& counts) {
  const auto list =
      [](const std::vector<std::pair<std::string, std::size_t>>& entries) {
        std::vector<std::string> texts;
        for (const auto& [name, objects] : entries) {
          texts.push_back(absl::StrCat(objects, " ", name));
        }
        return absl::StrJoin(texts, ", ");
      };
  std::vector<std::string> parts;
  if (!counts.by_version.empty()) parts.push_back(list(counts.by_version));
  if (!counts.subclasses.empty()) {
    parts.push_back(absl::StrCat("subclasses: ", list(counts.subclasses)));
  }
  const std::pair<std::size_t, const char*> remarks[] = {
      {counts.being_converted, "being converted"},
      {counts.failed, "failed to convert"},
      {counts.outside, "not made by new"},
      {counts.automatic, "of these on a stack"},
      {counts.untracked, "not tracked"}};
  for (const auto& [number, what] : remarks) {
    if (number > 0) parts.push_back(absl::StrCat(number, " ", what));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace

std::string Style::Bold(absl::string_view text) const {
  return Coloured(has_colours, "1", text);
}
std::string Style::Good(absl::string_view text) const {
  return Coloured(has_colours, "32", text);
}
std::string Style::Bad(absl::string_view text) const {
  return Coloured(has_colours, "31", text);
}
std::string Style::Waiting(absl::string_view text) const {
  return Coloured(has_colours, "33", text);
}
std::string Style::Faint(absl::string_view text) const {
  return Coloured(has_colours, "2", text);
}

std::string FormatDuration(nanoseconds duration) {
  const std::int64_t ns = duration.count();
  if (ns < 1'000) return absl::StrCat(ns, " ns");
  if (ns < 1'000'000) {
    return ns < 10'000 ? absl::StrFormat("%.1f us", ns * 1e-3)
                       : absl::StrFormat("%d us", ns / 1'000);
  }
  if (ns < 1'000'000'000) return absl::StrFormat("%.1f ms", ns * 1e-6);
  const std::int64_t seconds = ns / 1'000'000'000;
  if (seconds < 60) {
    return ns % 1'000'000'000 < 50'000'000
               ? absl::StrCat(seconds, " s")
               : absl::StrFormat("%.1f s", ns * 1e-9);
  }
  if (seconds < 3600) {
    return absl::StrCat(seconds / 60, " min ", seconds % 60, " s");
  }
  return absl::StrCat(seconds / 3600, " h ", seconds / 60 % 60, " min");
}

std::string FormatSize(std::size_t bytes) {
  if (bytes < 1024) return Count(bytes, "byte");
  if (bytes < 1024 * 1024) return absl::StrFormat("%.1f KiB", bytes / 1024.0);
  return absl::StrFormat("%.1f MiB", bytes / (1024.0 * 1024));
}

std::string FormatBar(std::size_t done, std::size_t total) {
  constexpr std::size_t kWidth = 30;
  done = std::min(done, total);
  const double part = total == 0 ? 1 : static_cast<double>(done) / total;
  const std::size_t full = static_cast<std::size_t>(part * kWidth);
  return absl::StrFormat("[%s%s] %3d %%  %d of %s", std::string(full, '#'),
                         std::string(kWidth - full, '.'),
                         static_cast<int>(part * 100), done,
                         Count(total, "object"));
}

Lines ProgramLines(const std::vector<ListedProgram>& programs, SystemTime now,
                   const Style& style) {
  Table table;
  table.Add({"PROGRAM", "PID", "UP", "UPDATES"});
  for (const ListedProgram& listed : programs) {
    std::string up = "?";
    std::vector<std::string> updates;
    if (!listed.status.ok()) {
      updates.push_back(std::string(listed.status.status().message()));
    } else {
      up = FormatDuration(std::chrono::duration_cast<std::chrono::seconds>(
          now - listed.status->program.started));
      for (const AppliedReport& applied : listed.status->applied) {
        updates.push_back(applied.update);
      }
      for (const PendingReport& pending : listed.status->pending) {
        updates.push_back(
            absl::StrCat(pending.update, pending.kind == PendingKind::kLoad
                                             ? " (pending)"
                                             : " (undo pending)"));
      }
    }
    table.Add(
        {absl::StrCat(std::string(2 * listed.depth, ' '), listed.program.name),
         absl::StrCat(listed.program.pid), up,
         updates.empty() ? "none" : absl::StrJoin(updates, ", ")});
  }
  Lines lines = table.Format("");
  lines.front() = style.Bold(lines.front());
  return lines;
}

Lines StatusLines(const StatusReport& status, SystemTime now,
                  const Style& style) {
  const ProgramReport& program = status.program;
  Lines lines;
  lines.push_back(absl::StrCat(
      style.Bold(program.name), ", process ", program.pid, ", up ",
      FormatDuration(std::chrono::duration_cast<std::chrono::seconds>(
          now - program.started))));
  lines.push_back(style.Faint(absl::StrCat(
      program.executable, ", build ",
      program.build_id.empty() ? "without an id" : program.build_id)));
  if (program.requests > 0 || program.errors > 0) {
    lines.push_back(absl::StrCat(Count(program.requests, "request"),
                                 " counted, ", Count(program.errors, "error")));
  }
  const auto head = [&](absl::string_view title, std::size_t count) {
    lines.push_back("");
    lines.push_back(
        absl::StrCat(style.Bold(title), count == 0 ? ": none" : ""));
  };

  if (!status.remarks.empty()) head("Remarks", 1);
  for (const std::string& remark : status.remarks) {
    lines.push_back(absl::StrCat("  ", style.Waiting(remark)));
  }

  head("Threads", status.threads.size());
  Append(lines, ThreadTable(status).Format("  "));

  head("Updates", status.applied.size());
  for (const AppliedReport& applied : status.applied) {
    lines.push_back(absl::StrCat("  ", style.Good(applied.update), ", applied ",
                                 TimeOfDay(applied.applied), " in ",
                                 FormatDuration(applied.elapsed), ", ",
                                 HoldText(applied.hold_times)));
    if (!applied.module.empty()) {
      lines.push_back(absl::StrCat("    ", applied.module));
    }
    if (applied.is_converting) {
      lines.push_back("    objects are still being converted");
    }
    if (!applied.can_undo.ok()) {
      lines.push_back(
          absl::StrCat("    cannot be undone: ", applied.can_undo.message()));
      continue;
    }
    for (const std::string& lost : applied.lost_by_undo) {
      lines.push_back(absl::StrCat("    an undo loses, of ", lost));
    }
  }

  if (!status.kept.empty()) head("Undone, and still loaded", 1);
  for (const KeptReport& kept : status.kept) {
    lines.push_back(absl::StrCat(
        "  ", kept.update, ", ", kept.module,
        kept.because.empty()
            ? absl::StrCat(": `instarctl unload ", kept.update, "` unloads it")
            : absl::StrCat(": kept, because ", kept.because)));
  }

  if (!status.pending.empty()) head("Pending", 1);
  for (const PendingReport& pending : status.pending) {
    lines.push_back(
        absl::StrCat("  ", style.Waiting(PendingText(pending, style))));
    for (const Blocker& blocker : pending.progress.blockers) {
      Append(lines, BlockerLines(blocker, style, "    "));
    }
    for (const std::string& line : ConversionLines(pending.progress, style)) {
      lines.push_back(absl::StrCat("  ", line));
    }
  }

  head("Objects", status.classes.size());
  Table classes;
  for (const ObjectCounts& counts : status.classes) {
    classes.Add({counts.class_name, ObjectText(counts)});
  }
  Append(lines, classes.Format("  "));
  return lines;
}

Lines CheckLines(const CheckReport& check, const Style& style) {
  Lines lines;
  lines.push_back(absl::StrCat(style.Bold(check.update), " (",
                               ToString(check.kind),
                               "): ", FormatSize(check.code_size), " of code, ",
                               FormatSize(check.loaded_size), " loaded"));
  if (!check.required.empty()) {
    lines.push_back(
        absl::StrCat("requires ", absl::StrJoin(check.required, ", ")));
  }
  lines.push_back(check.forecast.steps.empty() ? "would do nothing"
                                               : "would do:");
  for (std::size_t i = 0; i < check.forecast.steps.size(); ++i) {
    lines.push_back(absl::StrCat("  ", i + 1, ". ", check.forecast.steps[i]));
  }
  if (check.forecast.obstacles.empty() && check.blockers.empty()) {
    lines.push_back(style.Good("nothing is in the way"));
  } else {
    lines.push_back("in the way at the moment:");
    for (const std::string& obstacle : check.forecast.obstacles) {
      lines.push_back(absl::StrCat("  ", style.Bad(obstacle)));
    }
    Style with_times = style;
    with_times.is_terminal = true;  // it is said once
    for (const Blocker& blocker : check.blockers) {
      Append(lines, BlockerLines(blocker, with_times, "  "));
    }
  }
  if (!check.forecast.steps.empty()) {  // else it is not known
    const absl::Status& can_undo = check.forecast.can_undo;
    lines.push_back(
        can_undo.ok()
            ? "can be undone: yes, while no other update comes after it"
            : style.Waiting(absl::StrCat("can be undone: no, because ",
                                         can_undo.message())));
    for (const std::string& lost : check.forecast.lost_by_undo) {
      if (can_undo.ok()) lines.push_back(absl::StrCat("  loses, of ", lost));
    }
  }
  if (!check.forecast.remarks.empty()) lines.push_back("remarks:");
  for (const std::string& remark : check.forecast.remarks) {
    lines.push_back(absl::StrCat("  ", remark));
  }
  return lines;
}

Lines UpdateLines(PendingKind kind, const UpdateReport& update,
                  const Style& style) {
  Lines lines;
  lines.push_back(style.Good(absl::StrCat(
      update.update,
      kind == PendingKind::kLoad ? " is applied" : " is taken back")));
  lines.push_back(absl::StrCat("  ", HoldText(update.hold_times)));
  lines.push_back(absl::StrCat("  took ", FormatDuration(update.elapsed),
                               ": queued ", FormatDuration(update.queued),
                               ", loading ", FormatDuration(update.loading),
                               ", preparing ", FormatDuration(update.preparing),
                               ", applying ", FormatDuration(update.applying),
                               " (", Count(update.attempts, "attempt"), ")"));
  if (update.objects_converted > 0) {
    lines.push_back(absl::StrCat("  converted ",
                                 Count(update.objects_converted, "object")));
  }
  for (const std::string& remark : update.remarks) {
    lines.push_back(absl::StrCat("  ", style.Waiting(remark)));
  }
  return lines;
}

Lines WaitingLines(const StatusReport& status, const PendingReport& pending,
                   const Style& style) {
  Lines lines;
  lines.push_back(style.Waiting(PendingText(pending, style)));
  // What matters most comes first: a terminal may have few rows.
  for (const Blocker& blocker : pending.progress.blockers) {
    Append(lines, BlockerLines(blocker, style, "  "));
  }
  Append(lines, ConversionLines(pending.progress, style));
  if (style.is_terminal) Append(lines, ThreadTable(status).Format("  "));
  return lines;
}

Lines UnloadLines(const UnloadReport& report) {
  Lines lines;
  if (report.unloaded > 0) {
    lines.push_back(
        absl::StrCat(report.update, " is unloaded",
                     report.unloaded == 1
                         ? ""
                         : absl::StrCat(" (", report.unloaded, " modules)")));
  }
  for (const KeptReport& kept : report.kept) {
    lines.push_back(
        absl::StrCat(kept.module, " is kept, because ", kept.because));
  }
  return lines;
}

Lines LogLines(const JournalReport& journal, const Style& style) {
  Lines lines;
  if (journal.omitted > 0) {
    lines.push_back(style.Faint(
        absl::StrCat("(", journal.omitted, " older entries are left out)")));
  }
  for (const JournalEntry& entry : journal.entries) {
    std::string event = entry.event;
    if (event == "applied" || event == "undone") event = style.Good(event);
    if (event == "failed" || event == "skipped") event = style.Bad(event);
    std::string line =
        absl::StrCat(TimeOfDay(entry.time), "  ", entry.pid, "  ", event);
    if (!entry.update.empty()) absl::StrAppend(&line, "  ", entry.update);
    if (!entry.detail.empty()) absl::StrAppend(&line, ": ", entry.detail);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace instarctl
}  // namespace instar

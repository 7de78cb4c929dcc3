// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/debug_answers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tools/differ/dwarf/producer.h"

namespace instar {
namespace differ {

DebugAnswers::Known& DebugAnswers::KnownOf(const Object& object) {
  const auto found = known_.find(&object);
  if (found != known_.end()) return found->second;
  Known& known = known_[&object];
  absl::StatusOr<std::unique_ptr<ObjectDebugInfo>> info =
      ObjectDebugInfo::Read(object.elf());
  known.status = info.status();
  if (info.ok()) known.info = *std::move(info);
  return known;
}

const ObjectDebugInfo* DebugAnswers::InfoOf(const Object& object) {
  return KnownOf(object).info.get();
}

DebugQuestions DebugAnswers::Questions() {
  DebugQuestions questions;
  questions.scope_of = [this](const Unit& unit) { return ScopeOf(unit); };
  questions.declared_alike = [this](const std::vector<Unit*>& variables) {
    return AreDeclaredAlike(variables);
  };
  questions.differs_in_lines_only = [this](const Object& old_object,
                                           const Section& old_section,
                                           const Object& new_object,
                                           const Section& new_section) {
    const LineNumbers* old_lines = LinesOf(old_object);
    const LineNumbers* new_lines = LinesOf(new_object);
    return old_lines != nullptr && new_lines != nullptr &&
           moved_lines_.DifferInLinesOnly(
               {old_lines, [&] { return CallsOf(old_object); }}, old_section,
               {new_lines, [&] { return CallsOf(new_object); }}, new_section);
  };
  questions.variables_differ_in_lines_only =
      [this](const Object& old_object, const Section& old_section,
             const Object& new_object, const Section& new_section) {
        const StaticVariable* was = VariableAt(old_object, old_section);
        const StaticVariable* is = VariableAt(new_object, new_section);
        const LineNumbers* new_lines = LinesOf(new_object);
        return was != nullptr && is != nullptr && new_lines != nullptr &&
               moved_lines_.DifferInLinesOfVariable(
                   {was->file, was->line, old_section.bytes},
                   {is->file, is->line, new_section.bytes},
                   {new_lines, [&] { return CallsOf(new_object); }});
      };
  questions.name_by_line =
      [this](const Unit& unit) -> std::optional<NameByLine> {
    const NamedByLine* const named = ByLine(unit);
    if (named == nullptr) return std::nullopt;
    return NameByLine{named->name, named->file, named->line, named->order,
                      named->of};
  };
  questions.text_of_old_line = [this](const NameByLine& was,
                                      const std::string& new_file) {
    return moved_lines_.TextOfOldLine(was.file, was.line, new_file);
  };
  questions.text_of_new_line = [this](const NameByLine& is) {
    return moved_lines_.TextOfNewLine(is.file, is.line);
  };
  questions.differs_in_line_of_text =
      [this](const CodePlace& old_place, absl::string_view old_text,
             const CodePlace& new_place, absl::string_view new_text) {
        const LineNumbers* old_lines = LinesOf(old_place.object);
        const LineNumbers* new_lines = LinesOf(new_place.object);
        return old_lines != nullptr && new_lines != nullptr &&
               moved_lines_.DifferInLineOfText(
                   {old_lines, [&] { return CallsOf(old_place.object); }},
                   {old_place.section.index, old_place.offset}, old_text,
                   {new_lines, [&] { return CallsOf(new_place.object); }},
                   {new_place.section.index, new_place.offset}, new_text);
      };
  return questions;
}

const LineNumbers* DebugAnswers::LinesOf(const Object& object) {
  Known& known = KnownOf(object);
  if (known.info != nullptr && !known.has_lines) {
    known.has_lines = true;
    absl::StatusOr<LineNumbers> lines = LineNumbers::Of(*known.info);
    if (lines.ok()) known.lines = *std::move(lines);
  }
  return known.lines ? &*known.lines : nullptr;
}

const InlinedCalls* DebugAnswers::CallsOf(const Object& object) {
  Known& known = KnownOf(object);
  if (known.info != nullptr && !known.calls.has_value()) {
    known.calls = InlinedCalls::Of(*known.info);
  }
  return known.calls ? &*known.calls : nullptr;
}

const StaticVariable* DebugAnswers::VariableOf(const Unit& unit) {
  return VariableAt(*unit.object, unit.main());
}

const StaticVariable* DebugAnswers::VariableAt(const Object& object,
                                               const Section& section) {
  Known& known = KnownOf(object);
  if (known.info == nullptr) return nullptr;
  if (!known.has_statics) {
    known.has_statics = true;
    for (StaticVariable& variable : StaticVariablesOf(*known.info)) {
      const ObjectPlace place = variable.place;
      known.statics.emplace(place, std::move(variable));
    }
  }
  const auto found = known.statics.find({section.index, 0});
  return found == known.statics.end() ? nullptr : &found->second;
}

const NamedByLine* DebugAnswers::ByLine(const Unit& unit) {
  Known& known = KnownOf(*unit.object);
  if (known.info == nullptr) return nullptr;
  if (!known.by_line.has_value()) known.by_line = NamedByLineIn(*known.info);
  const auto found = known.by_line->find(unit.main().index);
  return found == known.by_line->end() ? nullptr : &found->second;
}

StaticScope DebugAnswers::ScopeOf(const Unit& unit) {
  const StaticVariable* const known = VariableOf(unit);
  if (known == nullptr) return {};
  const StaticVariable& variable = *known;
  StaticScope scope;
  // By its readable name: a function that is inlined everywhere in one of the
  // builds has no other.
  scope.base = absl::StrCat(variable.function, "/", variable.name);
  scope.exact = variable.of == 1 ? scope.base
                                 : absl::StrCat(scope.base, " ", variable.order,
                                                "/", variable.of);
  scope.qualified = absl::StrReplaceAll(variable.qualified_name,
                                        {{"(anonymous namespace)::", ""}});
  scope.type = variable.bare_type;
  scope.file = variable.file;
  return scope;
}

bool DebugAnswers::AreDeclaredAlike(const std::vector<Unit*>& variables) {
  std::vector<const StaticVariable*> was;
  std::vector<const StaticVariable*> is;
  for (const Unit* unit : variables) {
    was.push_back(VariableOf(*unit->old));
    is.push_back(VariableOf(*unit));
    if (was.back() == nullptr || is.back() == nullptr) return false;
  }
  const auto lines_of = [](const std::vector<const StaticVariable*>& declared)
      -> std::optional<MovedLines::Lines> {
    MovedLines::Lines lines = {declared.front()->file, declared.front()->line,
                               declared.front()->line};
    for (const StaticVariable* variable : declared) {
      if (variable->file != lines.file || variable->line <= 0) {
        return std::nullopt;
      }
      lines.first = std::min(lines.first, variable->line);
      lines.last = std::max(lines.last, variable->line);
    }
    return lines;
  };
  const auto old_lines = lines_of(was);
  const auto new_lines = lines_of(is);
  if (!old_lines || !new_lines) return false;
  for (std::size_t i = 0; i < was.size(); ++i) {
    if (was[i]->line - old_lines->first != is[i]->line - new_lines->first) {
      return false;
    }
  }
  return moved_lines_.HaveSameText(*old_lines, *new_lines);
}

void DebugAnswers::CheckCompilers(const std::vector<ObjectPair>& pairs,
                                  Findings& findings) {
  for (const ObjectPair& pair : pairs) {
    bool is_described = true;
    for (const Object* object :
         {pair.old_object, static_cast<const Object*>(pair.new_object)}) {
      if (object == nullptr) continue;
      const Known& known = KnownOf(*object);
      // Assembly has no types, and none are changed by it.
      const bool has_code = std::any_of(
          object->units().begin(), object->units().end(), [](const auto& unit) {
            return !unit->is_function() || !unit->is_compound;
          });
      if (known.info == nullptr) {
        is_described = false;
        if (has_code) {
          findings.Refuse(
              object->name(),
              absl::StrCat(known.status.message(),
                           ". Without debug information the layouts of types "
                           "cannot be compared: compile both builds with -g"));
        }
      } else if (!known.info->describes_types()) {
        findings.Refuse(
            object->name(),
            "was compiled with -g1, which does not describe types, or with "
            "-femit-struct-debug-..., which leaves some out, so that their "
            "layouts cannot be compared: compile both builds with -g alone");
      }
    }
    if (!is_described || pair.old_object == nullptr ||
        pair.new_object == nullptr) {
      continue;
    }
    const std::string difference =
        ProducerDifference(ProducersOf(*InfoOf(*pair.old_object)),
                           ProducersOf(*InfoOf(*pair.new_object)));
    if (!difference.empty()) {
      findings.Refuse(pair.new_object->name(), difference);
    }
  }
}

}  // namespace differ
}  // namespace instar

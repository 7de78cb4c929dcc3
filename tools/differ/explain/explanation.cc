// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/explain/explanation.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/dwarf/inlined_calls.h"
#include "tools/differ/explain/instructions.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// One part of a function, in both builds.
struct Side {
  const Unit* unit;
  const Section* part;
  std::vector<Instruction> instructions;

  const Object& object() const { return *unit->object; }
};

class Explainer {
 public:
  Explainer(Comparison& comparison, DebugAnswers& debug, const Unit& unit)
      : comparison_(comparison), debug_(debug), unit_(unit) {}

  Explanation Run() {
    result_.function = Demangle(unit_.name);
    result_.object = unit_.object->name();
    if (unit_.old == nullptr) {
      result_.kind = DifferenceKind::kNew;
      result_.what =
          unit_.is_separate ? "is not what had this name before" : "is new";
      return result_;
    }
    if (unit_.status == UnitStatus::kSame) {
      result_.what = "has not changed";
      return result_;
    }
    const std::size_t parts =
        std::min(unit_.parts.size(), unit_.old->parts.size());
    for (const bool by_registers : {false, true}) {
      for (std::size_t i = 0; i < parts; ++i) {
        const Side a = SideOf(*unit_.old, i);
        const Side b = SideOf(unit_, i);
        if (FindFirst(a, b, by_registers)) return result_;
      }
    }
    result_.kind = DifferenceKind::kTables;
    result_.what = unit_.why;
    return result_;
  }

 private:
  static Side SideOf(const Unit& unit, std::size_t part) {
    Side side = {&unit, unit.parts[part], InstructionsOf(*unit.parts[part])};
    // Jumps between the parts of a function are jumps inside of it.
    for (Instruction& instruction : side.instructions) {
      std::vector<const Relocation*>& references = instruction.references;
      if (!instruction.is_branch) continue;
      references.erase(
          std::remove_if(references.begin(), references.end(),
                         [&](const Relocation* reference) {
                           return side.object().TargetOf(*reference) == &unit;
                         }),
          references.end());
      instruction.is_call = instruction.is_call && !references.empty();
    }
    return side;
  }

  // Whether there is a difference, which it describes then.
  bool FindFirst(const Side& a, const Side& b, bool by_registers) {
    auto in_a = a.instructions.begin();
    auto in_b = b.instructions.begin();
    while (true) {
      while (!by_registers && in_a != a.instructions.end() &&
             in_a->is_of_frame) {
        ++in_a;
      }
      while (!by_registers && in_b != b.instructions.end() &&
             in_b->is_of_frame) {
        ++in_b;
      }
      const Instruction* of_a =
          in_a == a.instructions.end() ? nullptr : &*in_a++;
      const Instruction* of_b =
          in_b == b.instructions.end() ? nullptr : &*in_b++;
      if (of_a == nullptr && of_b == nullptr) return false;
      if (Compare(a, of_a, b, of_b, by_registers)) {
        result_.old_place = PlaceOf(a, of_a);
        result_.new_place = PlaceOf(b, of_b);
        return true;
      }
    }
  }

  bool Differ(DifferenceKind kind, std::string what) {
    result_.kind = kind;
    result_.what = std::move(what);
    return true;
  }

  bool Compare(const Side& a, const Instruction* of_a, const Side& b,
               const Instruction* of_b, bool by_registers) {
    if (of_a == nullptr || of_b == nullptr || of_a->kind != of_b->kind ||
        of_a->references.size() != of_b->references.size()) {
      return Differ(DifferenceKind::kCode, "other code");
    }
    if (of_a->immediate != of_b->immediate) {
      return Differ(DifferenceKind::kConstant,
                    absl::StrCat("constant ", Number(of_a->immediate), " -> ",
                                 Number(of_b->immediate)));
    }
    if (of_a->displacement != of_b->displacement) {
      return Differ(
          of_b->is_lea ? DifferenceKind::kConstant : DifferenceKind::kOffset,
          absl::StrCat(of_b->is_lea ? "constant, or offset in an object, "
                                    : "offset in an object ",
                       of_a->displacement.value_or(0), " -> ",
                       of_b->displacement.value_or(0)));
    }
    for (std::size_t i = 0; i < of_a->references.size(); ++i) {
      const Relocation& in_a = *of_a->references[i];
      const Relocation& in_b = *of_b->references[i];
      if (!by_registers && IsTableOfSwitch(a, in_a) &&
          IsTableOfSwitch(b, in_b)) {
        continue;
      }
      const std::string why =
          comparison_.WhyNotSameTarget(a.object(), in_a, b.object(), in_b);
      if (why.empty()) continue;
      if (IsTableOfSwitch(b, in_b)) {
        return Differ(DifferenceKind::kTables, "the table of a switch");
      }
      if (of_b->is_call) {
        return Differ(DifferenceKind::kCallee,
                      absl::StrCat("calls ", NameOfTarget(b, in_b),
                                   " in place of ", NameOfTarget(a, in_a)));
      }
      const bool is_named = absl::StartsWith(why, "refers to ");
      return Differ(
          is_named ? DifferenceKind::kReference : DifferenceKind::kConstant,
          why);
    }
    if (by_registers &&
        (of_a->registers != of_b->registers || of_a->text != of_b->text)) {
      return Differ(DifferenceKind::kRegisters,
                    "other registers, or another layout of the stack");
    }
    return false;
  }

  static std::string Number(const std::optional<std::uint64_t>& number) {
    if (!number) return "none";
    const auto value = static_cast<std::int64_t>(*number);
    return absl::StrCat(value);
  }

  // What has no name and leads back into the function.
  static bool IsTableOfSwitch(const Side& side, const Relocation& relocation) {
    const Unit* target = side.object().TargetOf(relocation);
    if (target == nullptr || !target->is_anonymous()) return false;
    const auto& inner = target->main().relocations;
    return std::any_of(inner.begin(), inner.end(), [&](const Relocation& one) {
      return side.object().TargetOf(one) == side.unit;
    });
  }

  // Empty for what has none that means anything.
  static std::string NameOfTarget(const Side& side,
                                  const Relocation& relocation) {
    const Symbol& symbol = side.object().SymbolOf(relocation);
    if (!symbol.name.empty() && !IsMadeUp(symbol.name)) {
      return Demangle(symbol.name);
    }
    const Unit* target = side.object().TargetOf(relocation);
    return target == nullptr || target->is_anonymous() ? ""
                                                       : Demangle(target->name);
  }

  // With names in place of the fields that the linker fills in.
  static std::string TextOf(const Side& side, const Instruction& instruction) {
    std::string text = instruction.text;
    for (const Relocation* reference : instruction.references) {
      const std::string name = NameOfTarget(side, *reference);
      const std::size_t begin = text.find("[0x");
      const std::size_t end = text.find(']', begin);
      if (end != std::string::npos) {
        text.replace(begin, end - begin + 1,
                     absl::StrCat("[", name.empty() ? "..." : name, "]"));
      } else if (instruction.is_call) {
        text = absl::StrCat(text.substr(0, text.find(' ')), " ", name);
      } else if (!name.empty()) {
        absl::StrAppend(&text, "  ; ", name);
      }
    }
    return text;
  }

  ExplainedPlace PlaceOf(const Side& side, const Instruction* instruction) {
    ExplainedPlace place;
    place.offset =
        instruction == nullptr ? side.part->size : instruction->offset;
    if (instruction == nullptr) return place;
    place.instruction = TextOf(side, *instruction);
    const ObjectPlace at = {side.part->index, instruction->offset};
    const LineNumbers* lines = debug_.LinesOf(side.object());
    const auto line = lines == nullptr ? std::nullopt : lines->Find(at);
    if (line) {
      place.file = std::string(line->file);
      place.line = line->line;
    }
    const ObjectDebugInfo* info = debug_.InfoOf(side.object());
    if (info != nullptr) place.inlined = InlinedAt(*info, at);
    return place;
  }

  Comparison& comparison_;
  DebugAnswers& debug_;
  const Unit& unit_;
  Explanation result_;
};

}  // namespace

const char* NameOf(DifferenceKind kind) {
  switch (kind) {
    case DifferenceKind::kNone:
      return "none";
    case DifferenceKind::kNew:
      return "new";
    case DifferenceKind::kCode:
      return "code";
    case DifferenceKind::kConstant:
      return "constant";
    case DifferenceKind::kOffset:
      return "offset";
    case DifferenceKind::kCallee:
      return "callee";
    case DifferenceKind::kReference:
      return "reference";
    case DifferenceKind::kRegisters:
      return "registers";
    case DifferenceKind::kTables:
      return "tables";
  }
  return "";
}

std::vector<Explanation> Explain(Comparison& comparison, DebugAnswers& debug,
                                 const std::string& name) {
  std::vector<Explanation> result;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->is_function() || unit->is_initializer()) continue;
      const bool is_meant =
          name == "*" ? unit->status == UnitStatus::kChanged
                      : IsNamed(*unit, name) || Demangle(unit->name) == name;
      if (is_meant) {
        result.push_back(Explainer(comparison, debug, *unit).Run());
      }
    }
  }
  return result;
}

}  // namespace differ
}  // namespace instar

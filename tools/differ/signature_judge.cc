// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/signature_judge.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/dwarf/signatures.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// A function of which the signature has changed.
struct Changed {
  std::string was;
  std::string is;
  bool is_global;
};

// Those of C, or extern "C", by their units of the old build: in C++ another
// signature is another name.
std::map<const Unit*, Changed> ChangedSignatures(const Comparison& comparison,
                                                 DebugAnswers& debug) {
  std::map<const Unit*, Changed> result;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr || pair.new_object == nullptr) continue;
    const ObjectDebugInfo* old_info = debug.InfoOf(*pair.old_object);
    const ObjectDebugInfo* new_info = debug.InfoOf(*pair.new_object);
    if (old_info == nullptr || new_info == nullptr) continue;
    std::map<std::string, FunctionSignature> was;
    for (FunctionSignature& signature : SignaturesOf(*old_info)) {
      if (signature.is_unmangled) {
        const std::string name = signature.linkage_name;
        was.emplace(name, std::move(signature));
      }
    }
    for (const FunctionSignature& signature : SignaturesOf(*new_info)) {
      const Unit* unit = pair.new_object->UnitOf(signature.place.section);
      if (!signature.is_unmangled || unit == nullptr || unit->old == nullptr) {
        continue;
      }
      const auto found = was.find(unit->old->name);
      if (found == was.end()) continue;
      // Parameter types alone: names and attributes mean nothing to a caller.
      if (found->second.return_type != signature.return_type ||
          found->second.parameters != signature.parameters ||
          found->second.is_variadic != signature.is_variadic) {
        result[unit->old] = {ToString(found->second), ToString(signature),
                             unit->is_global()};
      }
    }
  }
  return result;
}

}  // namespace

bool IsNeverLeft(const Unit& function) {
  if (function.name == "main") return true;
  for (const Section* part : function.parts) {
    // A byte that is ret wherever it stands: too many rather than too few.
    if (part->bytes.find('\xc3') != absl::string_view::npos ||
        part->bytes.find('\xc2') != absl::string_view::npos) {
      return false;
    }
    // So is an indirect jump: a switch, or a call in the place of a return.
    for (std::size_t at = part->bytes.find('\xff');
         at != absl::string_view::npos && at + 1 < part->bytes.size();
         at = part->bytes.find('\xff', at + 1)) {
      if ((static_cast<unsigned char>(part->bytes[at + 1]) >> 3 & 7) == 4) {
        return false;
      }
    }
    // A jump out of it.
    for (const Relocation& relocation : part->relocations) {
      if (relocation.type != R_X86_64_PLT32 &&
          relocation.type != R_X86_64_PC32 &&
          relocation.type != R_X86_64_GOTPCRELX) {
        continue;
      }
      if (relocation.offset == 0) continue;
      const Unit* target = function.object->TargetOf(relocation);
      const char before = part->bytes[relocation.offset - 1];
      if (target != &function && (before == '\xe9' || before == '\x25')) {
        return false;
      }
    }
  }
  return true;
}

std::vector<const Unit*> JudgeSignatures(const Comparison& comparison,
                                         DebugAnswers& debug,
                                         Findings& findings) {
  const std::map<const Unit*, Changed> changed =
      ChangedSignatures(comparison, debug);
  std::vector<const Unit*> watched;
  if (changed.empty()) return watched;
  std::map<std::string, const Changed*> by_name;
  for (const auto& entry : changed) {
    if (entry.second.is_global) by_name[entry.first->name] = &entry.second;
    findings.Note(
        entry.first->object->name(),
        absl::StrCat("signature: ", entry.second.was, " -> ", entry.second.is));
  }
  std::map<const Unit*, const Unit*> new_of;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->old != nullptr) new_of[unit->old] = unit.get();
    }
  }
  std::set<const Unit*> seen;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr) continue;
    for (const auto& caller : pair.old_object->units()) {
      if (!caller->is_function()) continue;
      for (const Section* part : caller->parts) {
        for (const Relocation& relocation : part->relocations) {
          const Symbol& symbol = pair.old_object->SymbolOf(relocation);
          const Unit* target = pair.old_object->UnitOf(symbol.section);
          const Changed* callee = nullptr;
          const auto found = changed.find(target);
          if (found != changed.end()) {
            callee = &found->second;
          } else if (target == nullptr && !symbol.is_local()) {
            const auto named = by_name.find(std::string(symbol.name));
            if (named != by_name.end()) callee = named->second;
          }
          if (callee == nullptr || !seen.insert(caller.get()).second) continue;
          const auto now = new_of.find(caller.get());
          if (IsNeverLeft(*caller)) {
            findings.Refuse(
                pair.old_object->name(),
                absl::StrCat(Demangle(caller->name),
                             " is never left, and would call ", callee->is,
                             " as if it were ", callee->was,
                             ". Give the new function another name"));
          } else if (now == new_of.end()) {
            watched.push_back(caller.get());
          }
        }
      }
    }
  }
  return watched;
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/layout_judge.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/dwarf/producer.h"
#include "tools/differ/dwarf/static_scopes.h"
#include "tools/differ/dwarf/type_changes.h"
#include "tools/differ/dwarf/type_users.h"
#include "tools/differ/judges/never_left.h"
#include "tools/differ/object.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

// Whether the old code writes no padding of a variable that it gives a value.
// Without optimization GCC makes the value in a temporary object, which has
// anything there.
bool ClearsPadding(const std::vector<ObjectPair>& pairs, DebugAnswers& debug) {
  return std::all_of(pairs.begin(), pairs.end(), [&](const ObjectPair& pair) {
    if (pair.old_object == nullptr) return true;
    const ObjectDebugInfo* const info = debug.InfoOf(*pair.old_object);
    return info != nullptr && IsOptimized(ProducersOf(*info));
  });
}

// Why objects that exist do no harm; empty: they may.
std::string WhyHarmless(const TypeChange& change, bool clears_padding) {
  if (change.verdict == TypeVerdict::kCompatible) {
    return "objects that exist are as the new code expects them";
  }
  if (change.verdict == TypeVerdict::kAmbiguous) return "";
  if (change.is_on_stacks_only() && !change.is_enumeration) {
    return "its objects live on stacks, and end with the functions that were "
           "compiled for them";
  }
  // Not what another object may have been copied to, with its padding.
  if (change.verdict == TypeVerdict::kUsesPadding && clears_padding &&
      !change.is_pointed_to && !change.is_thrown && !change.is_in_union &&
      !change.is_local_variable && !change.is_passed_by_value &&
      !change.variables.empty()) {
    return "the new members lie in the padding of static variables, which is "
           "zero";
  }
  return "";
}

// The types of both builds.
struct Types {
  TypeSet was;
  TypeSet is;
};

Types TypesOf(const std::vector<ObjectPair>& pairs, DebugAnswers& debug) {
  Types types;
  for (const ObjectPair& pair : pairs) {
    // A type that both builds know stands in an object of both of them.
    if (pair.old_object != nullptr &&
        debug.InfoOf(*pair.old_object) != nullptr) {
      types.was.Add(*debug.InfoOf(*pair.old_object), pair.old_object->name());
    }
    if (pair.new_object != nullptr &&
        debug.InfoOf(*pair.new_object) != nullptr) {
      types.is.Add(*debug.InfoOf(*pair.new_object), pair.new_object->name());
    }
  }
  return types;
}

TypeUseIndex UsesInOld(const std::vector<ObjectPair>& pairs,
                       DebugAnswers& debug) {
  TypeUseIndex index;
  for (const ObjectPair& pair : pairs) {
    if (pair.old_object == nullptr) continue;
    const ObjectDebugInfo* const info = debug.InfoOf(*pair.old_object);
    if (info != nullptr) index.Add(*info, pair.old_object->name());
  }
  return index;
}

// Whether the functions that know the objects of a lambda are those that are
// named by it, and the one that makes them, "f(int)" of "f(int)::{lambda()#1}".
// (That one might get an old object out of a pointer to void, too, which
// nothing tells.)
bool IsUsedByItsOwn(const std::string& closure, const TypeUseIndex& uses) {
  const std::string maker = closure.substr(0, closure.rfind("::{lambda("));
  const std::vector<TypeUser> users = uses.FunctionsOf(closure);
  return std::all_of(users.begin(), users.end(), [&](const TypeUser& user) {
    const std::string readable = code_internal::Demangle(user.linkage_name);
    return !user.is_direct || readable == maker ||
           absl::StrContains(readable, closure);
  });
}

// A function that uses the type directly and that no thread leaves, so that an
// object on its stack stays; empty: there is none.
std::string UserThatIsNeverLeft(const std::string& type,
                                const Comparison& comparison,
                                const TypeUseIndex& uses) {
  std::map<std::string, const Unit*> functions;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr) continue;
    for (const auto& unit : pair.old_object->units()) {
      if (unit->is_function()) functions.emplace(unit->name, unit.get());
    }
  }
  for (const TypeUser& user : uses.FunctionsOf(type)) {
    const auto function = functions.find(user.linkage_name);
    if (user.is_direct && function != functions.end() &&
        IsNeverLeft(*function->second)) {
      return user.name;
    }
  }
  return "";
}

// A closure, or an instance of a template for it, of which no variable is.
bool IsOfSeparateClosure(const TypeChange& change,
                         const Comparison& comparison) {
  const std::set<std::string>& closures = comparison.separate_closures();
  return change.variables.empty() &&
         std::any_of(closures.begin(), closures.end(),
                     [&](const std::string& closure) {
                       return absl::StrContains(change.name, closure);
                     });
}

// Variables that keep their values, and are of another type now.
void JudgeVariables(const Comparison& comparison, DebugAnswers& debug,
                    Findings& findings) {
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->is_variable() || unit->old == nullptr || unit->is_constant()) {
        continue;
      }
      const StaticVariable* const was = debug.VariableOf(*unit->old);
      const StaticVariable* const is = debug.VariableOf(*unit);
      if (was == nullptr || is == nullptr) continue;
      const std::string difference = VariableDifference(*was, *is);
      if (difference.empty()) continue;
      findings.Refuse(
          pair.new_object->name(),
          absl::StrCat("variable ", is->qualified_name, " ", difference,
                       ", and keeps its value. Give the new one another name"));
    }
  }
}

// Types that an earlier update has taken out.
void JudgeReturned(const Types& types, const TypeDigests& gone,
                   const std::set<std::string>& allowed, Findings& findings) {
  for (const std::string& type : ReturnedTypes(types.was, types.is, gone)) {
    std::string message = absl::StrCat(
        "type ", type,
        " is laid out in another way than one of that name was before an "
        "earlier update, and objects of that may exist");
    if (allowed.count(type) != 0) {
      findings.Warn("", absl::StrCat(message, "; it is allowed"));
    } else {
      findings.Refuse(
          "", absl::StrCat(message,
                           ". Give it another name; or, if there are none, say "
                           "--allow-type '",
                           type, "'"));
    }
  }
}

// Members that new hooks initialize, qualified.
std::set<std::string> ConvertedMembers(const Comparison& comparison) {
  std::set<std::string> members;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->status == UnitStatus::kSame) continue;
      std::string member = ConvertedMember(*unit);
      if (!member.empty()) members.insert(std::move(member));
    }
  }
  return members;
}

// Why objects of a type that has got members cannot be converted, though all
// of them are initialized; empty: they can.
std::string WhyNotConverted(const TypeChange& change) {
  if (change.verdict != TypeVerdict::kAppended) {
    return "its members are not at its end";
  }
  // Wherever else an object is that cannot grow is seen when it is applied.
  return change.variables.empty() ? "" : "variables of it cannot grow";
}

// "INSTAR_CONVERT(shop::Product, mark_, value)", of all that have none.
std::string MissingConversions(const TypeChange& change,
                               const std::set<std::string>& converted) {
  std::vector<std::string> missing;
  for (const MemberChange& member : change.members) {
    if (converted.count(absl::StrCat(change.name, "::", member.name)) == 0) {
      missing.push_back(absl::StrCat("INSTAR_CONVERT(", change.name, ", ",
                                     member.name, ", value)"));
    }
  }
  return absl::StrJoin(missing, " and ");
}

}  // namespace

std::vector<std::string> ChangedClosures(const std::vector<ObjectPair>& pairs,
                                         DebugAnswers& debug) {
  const Types types = TypesOf(pairs, debug);
  std::vector<std::string> closures;
  std::optional<TypeUseIndex> uses;
  for (const TypeChange& change : CompareTypes(types.was, types.is)) {
    if (!absl::EndsWith(change.name, "}") ||
        !absl::StrContains(change.name, "{lambda(") ||
        !change.variables.empty() || !WhyHarmless(change, false).empty()) {
      continue;
    }
    if (!uses) uses = UsesInOld(pairs, debug);
    if (uses->VariablesOf(change.name).empty() &&
        IsUsedByItsOwn(change.name, *uses)) {
      closures.push_back(change.name);
    }
  }
  return closures;
}

std::map<std::string, std::string> UsersOfTypes(
    const Comparison& comparison, const std::set<std::string>& types,
    DebugAnswers& debug) {
  std::map<std::string, std::string> users;
  if (types.empty()) return users;
  const TypeUseIndex index = UsesInOld(comparison.pairs(), debug);
  for (const std::string& type : types) {
    for (const TypeUser& user : index.FunctionsOf(type)) {
      users.emplace(user.linkage_name, type);
    }
  }
  return users;
}

void JudgeConversions(const LastingCode& lasting,
                      const std::map<std::string, std::string>& users,
                      Findings& findings) {
  for (const auto& [function, why] : lasting.WithoutNewVersion()) {
    const auto user = users.find(function->name);
    if (user == users.end()) continue;
    findings.Refuse(
        function->object->name(),
        absl::StrCat(code_internal::Demangle(function->name), " ", why,
                     ". It was compiled for ", user->second,
                     " as it was: what uses its objects belongs into a "
                     "function that the new build has, too"));
  }
}

LayoutJudgement JudgeLayouts(const Comparison& comparison,
                             const std::set<std::string>& allowed,
                             const TypeDigests& gone, DebugAnswers& debug,
                             Findings& findings) {
  LayoutJudgement judgement;
  const std::set<std::string> converted_members = ConvertedMembers(comparison);
  const Types types = TypesOf(comparison.pairs(), debug);
  const bool clears_padding = ClearsPadding(comparison.pairs(), debug);
  JudgeVariables(comparison, debug, findings);
  for (const std::string& type : IncomparableTypes(types.was, types.is)) {
    findings.Warn("", absl::StrCat("type ", type,
                                   " is described in one of the builds only: "
                                   "if it has changed, nobody knows"));
  }
  judgement.gone = GoneTypes(types.was, types.is);
  JudgeReturned(types, gone, allowed, findings);
  std::optional<TypeUseIndex> uses;
  for (TypeChange& change : CompareTypes(types.was, types.is)) {
    const std::string object =
        change.objects.empty() ? "" : change.objects.front();
    std::string harmless = WhyHarmless(change, clears_padding);
    if (change.is_on_stacks_only() && !harmless.empty() &&
        change.verdict != TypeVerdict::kCompatible) {
      if (!uses) uses = UsesInOld(comparison.pairs(), debug);
      const std::string user =
          UserThatIsNeverLeft(change.name, comparison, *uses);
      if (!user.empty()) {
        absl::StrAppend(&change.message, "; ", user,
                        " is never left, and has one");
        harmless.clear();
      }
    }
    if (harmless.empty() && IsOfSeparateClosure(change, comparison)) {
      harmless = "objects that exist go on with their code";
    }
    std::string message = absl::StrCat("type ", change.message);
    if (!harmless.empty()) {
      findings.Note(object, absl::StrCat(message, "; ", harmless));
      continue;
    }
    if (!change.variables.empty()) {
      absl::StrAppend(&message, "; variables of it: ",
                      absl::StrJoin(change.variables, ", "));
    }
    if (allowed.count(change.name) != 0) {
      findings.Warn(object, absl::StrCat(message, "; it is allowed"));
      continue;
    }
    if (change.is_updatable) {
      const std::string missing = MissingConversions(change, converted_members);
      const std::string why_not = WhyNotConverted(change);
      if (missing.empty() && why_not.empty()) {
        judgement.converted.insert(change.name);
        findings.Note(object,
                      absl::StrCat(message, "; its objects are converted"));
        continue;
      }
      absl::StrAppend(
          &message, "; ",
          !why_not.empty() ? why_not : absl::StrCat("say ", missing));
    }
    if (!change.advice.empty()) {
      absl::StrAppend(&message, "; remedy: ", change.advice);
    }
    absl::StrAppend(&message,
                    ". Objects that exist have the old layout. If there are "
                    "none, or if it is right all the same, say --allow-type '",
                    change.name, "'");
    findings.Refuse(object, message);
  }
  return judgement;
}

}  // namespace differ
}  // namespace instar

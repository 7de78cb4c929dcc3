// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Compares the objects of two builds, unit by unit.
//
// First each unit of the new build is matched with what it was in the old one:
// by its name, and where the compiler has numbered things of one name, by what
// debug information says of them and by who uses them. What cannot be told
// apart is refused. Then two matched units are the same if their bytes are, and
// if all that they refer to is the same: the same name, or again a unit that
// was matched; of constants, literals and tables of exceptions, the contents.
//
// A unit that is found to have changed though it has not does no harm: it is
// redefined by the same code. One that is found to be the same though it has
// changed would be the worst of faults. So everything in doubt has changed.
//
// Units that share a name by accident, and are never matched:
//   - lambdas, and what is made for them, when their numbers may have moved, or
//     when they capture other things than before: closures that exist go on
//     with the code that they were made with;
//   - the actor and the destroyer of a C++20 coroutine that are not the same:
//     suspended coroutines finish in the version that they began in, new ones
//     are made by the new ramp;
//   - clones of a function (f.constprop.0) that are not the same: their
//     parameters are not known. Their callers have changed then.

#ifndef INSTAR_TOOLS_DIFFER_COMPARISON_H_
#define INSTAR_TOOLS_DIFFER_COMPARISON_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "tools/differ/findings.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {

// An object in both builds; null where a build has none of that name.
struct ObjectPair {
  const Object* old_object;
  Object* new_object;
};

// In which function a static variable stands, and what it is.
struct StaticScope {
  std::string base;   // the function and the variable's name
  std::string exact;  // and which it is of those, if it is not the only one
  // Its qualified name, without anonymous namespaces: what is static may have
  // gone into one, or out of it.
  std::string qualified;
  std::string type;  // as type_names.h spells it: "int[3]"
  std::string file;  // of the declaration
};

// A name that has the number of its line (dwarf/named_by_line.h).
struct NameByLine {
  std::string name;  // with "#" for it
  std::string file;
  int line;
  int order;  // among those of the object, and how many they are
  int of;
};

// A field of an instruction.
struct CodePlace {
  const Object& object;
  const Section& section;
  std::uint64_t offset;
};

// What comparison asks of debug information. Each may be left out.
struct DebugQuestions {
  // Of a static variable; empty if it is not known.
  std::function<StaticScope(const Unit&)> scope_of;
  // Whether the sources of both builds are there, and the lines from the first
  // declaration of these variables of the new build to the last one are those
  // that declared the variables that they were matched with.
  std::function<bool(const std::vector<Unit*>& variables)> declared_alike;
  // Whether all that differs in the bytes of these two sections of a function
  // are numbers of lines that have moved (__LINE__).
  std::function<bool(const Object& old_object, const Section& old_section,
                     const Object& new_object, const Section& new_section)>
      differs_in_lines_only;
  // The same of the contents of two variables.
  std::function<bool(const Object& old_object, const Section& old_section,
                     const Object& new_object, const Section& new_section)>
      variables_differ_in_lines_only;
  // Nothing: its name does not have the number of its line.
  std::function<std::optional<NameByLine>(const Unit& unit)> name_by_line;
  // The text of that line; empty: it is not there. Of the old build, where the
  // new build has the source as `new_file`.
  std::function<std::string(const NameByLine& was, const std::string& new_file)>
      text_of_old_line;
  std::function<std::string(const NameByLine& is)> text_of_new_line;
  // Whether two texts that an instruction refers to, by the field at `offset`,
  // differ in the number of its line alone ("shop.cc:12").
  std::function<bool(const CodePlace& old_place, absl::string_view old_text,
                     const CodePlace& new_place, absl::string_view new_text)>
      differs_in_line_of_text;
  // Types of lambdas whose objects have another layout than before, and may
  // exist, but are known to no variable and no function that is not theirs:
  // "f(int)::{lambda()#1}".
  std::function<std::vector<std::string>(const std::vector<ObjectPair>&)>
      changed_closures;
};

class Comparison {
 public:
  // Sets `old`, `status` and `why` of the units of the new objects.
  Comparison(std::vector<ObjectPair> pairs, DebugQuestions questions);

  const std::vector<ObjectPair>& pairs() const { return pairs_; }
  const Findings& findings() const { return findings_; }

  // Functions that differ in numbers of lines only, and count as the same.
  const std::vector<const Unit*>& moved_only() const { return moved_only_; }
  // Units of the old build that one of the new build is another version of.
  absl::flat_hash_set<const Unit*> WithNewVersion() const;
  // Units of the old build that the new one does not have.
  const std::vector<const Unit*>& gone() const { return gone_; }
  // Constants with a name that other objects know, and another value.
  const std::vector<const Unit*>& changed_constants() const {
    return changed_constants_;
  }
  // The unit of the new objects that defines this name for others, outside of
  // COMDAT groups; null: none.
  const Unit* DefinedByNew(absl::string_view name) const;

  // Of the changed closures, those whose code is another one's now.
  const std::set<std::string>& separate_closures() const {
    return separate_closures_;
  }

  // Why what these two refer to is not the same; empty: it is.
  std::string WhyNotSameTarget(const Object& a, const Relocation& in_a,
                               const Object& b, const Relocation& in_b);

 private:
  using Units = std::vector<Unit*>;
  using OldUnits = std::vector<const Unit*>;
  struct Bucket {
    OldUnits old_units;
    Units new_units;
  };

  void Match();
  bool IsAnotherFile(const ObjectPair& pair) const;
  void MatchIn(const ObjectPair& pair);
  std::optional<NameByLine> ByLine(const Unit& unit) const;
  std::set<std::string> KeysByLine(const ObjectPair& pair) const;
  Units MatchByKey(
      Bucket& bucket, absl::FunctionRef<std::string(const Unit&)> key_of,
      absl::FunctionRef<bool(const Unit&, const Unit&)> fits =
          [](const Unit&, const Unit&) { return true; });
  std::set<std::string> NamedUsersOf(const Unit& used);
  Units MatchIf(Bucket& bucket,
                absl::FunctionRef<bool(const Unit&, const Unit&)> fits);
  static bool HaveCommon(const std::set<std::string>& a,
                         const std::set<std::string>& b);
  bool MayHaveSameUsers(const Unit& a, const Unit& b);
  Units MatchByText(const ObjectPair& pair, Bucket& bucket);
  void MatchFunctionsByLine(Bucket& bucket, bool has_moved);
  void MatchVariablesByLine(Bucket& bucket, bool has_moved);
  void RefuseGuarded(const ObjectPair& pair, const Units& variables);
  void MatchByLine(const ObjectPair& pair, Bucket bucket);
  bool MatchOnlyOne(const ObjectPair& pair, Bucket& bucket);
  void MatchBucket(const ObjectPair& pair, Bucket bucket);
  static std::string BeforeAndNow(const Bucket& bucket);
  void RefuseBucket(const ObjectPair& pair, const Bucket& bucket);
  const std::set<const Unit*>& UsersOf(const Unit& used);
  std::set<std::string> UserKeysOf(const Unit& used);
  bool HasMovedUser(const Unit& old_unit, const Unit& new_unit);
  StaticScope ScopeOf(const Unit& unit) const;
  std::vector<Bucket> ByScope(std::map<std::string, Bucket> buckets) const;
  void MatchMoved();
  void RemoveMatched(Bucket& bucket);
  void MatchRelinked(const ObjectPair& pair);
  void MatchByOtherNames(const ObjectPair& pair);
  bool IsNameOfOther(const Unit& old_unit, const Unit& new_unit) const;
  void Pair(const Unit* old_unit, Unit* new_unit);
  static void Separate(Unit& unit);
  void SeparateLambda(Unit& unit, bool was_there, absl::string_view why);
  void SeparateChangedClosures();
  bool SeparateNumbered(bool is_compared);
  void CheckDiscriminators(const ObjectPair& pair);
  void CollectNumbered(const ObjectPair& pair);
  // Whether their contents tell variables of one name apart.
  bool AreToldApart(const Units& variables) const;
  void CheckMatchesByOrder();

  void Compare();
  bool CompareOnce();
  bool CompareUnit(Unit& unit);
  // Each returns why the two are not the same; empty: they are.
  std::string WhyNotSame(const Unit& a, const Unit& b);
  std::string WhyNotSameFrames(const Unit& a, const Unit& b);
  std::string WhyNotSameSection(const Object& a, const Section& in_a,
                                const Object& b, const Section& in_b);
  std::string WhyNotSameSectionNow(const Object& a, const Section& in_a,
                                   const Object& b, const Section& in_b);
  bool IsMovedText(const CodePlace& in_a, const Relocation& of_a,
                   const CodePlace& in_b, const Relocation& of_b) const;
  void Judge();
  void JudgeVariable(const Unit& unit);
  void JudgeUnusedVariables();
  void JudgeStartAndEnd(const ObjectPair& pair);
  static bool HasGuard(const Unit& variable);
  void JudgeGuard(const Unit& unit);
  void NoteGuarded(const Unit& function);
  bool IsTable(const Unit& variable) const;

  std::vector<ObjectPair> pairs_;
  DebugQuestions questions_;
  Findings findings_;
  absl::flat_hash_map<const Unit*, Unit*> new_of_;  // by matched old units
  absl::flat_hash_map<absl::string_view, const Unit*> old_globals_;
  absl::flat_hash_map<absl::string_view, const Unit*> new_globals_;
  // Constants of the new build that several objects may have, in COMDAT groups.
  absl::flat_hash_map<absl::string_view, const Unit*> shared_constants_;
  // Why pairs of sections are not the same. While one is being compared it
  // counts as the same; found_same_ are those that turned out to be.
  using SectionPair = std::pair<const Section*, const Section*>;
  std::map<SectionPair, std::string> known_;
  int depth_ = 0;  // of the sections that are being compared
  std::vector<SectionPair> found_same_;
  // The functions that refer to each unit of an object, but to themselves.
  std::map<const Object*, std::map<const Unit*, std::set<const Unit*>>> users_;
  std::vector<const Unit*> moved_only_;
  std::set<const Section*> with_moved_texts_;  // of the new build
  std::vector<const Unit*> gone_;
  std::vector<const Unit*> changed_constants_;
  std::set<std::string> separate_closures_;
  // Static variables of one name that were matched by their order: right if all
  // that use them are the same then, or if their declarations tell.
  std::vector<Units> by_order_;
  // Functions that were matched by their code: right if they are the same.
  std::set<const Unit*> guessed_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_COMPARISON_H_

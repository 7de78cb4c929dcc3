// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/type_judge.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/differ/dwarf/padding.h"
#include "tools/differ/dwarf/scalar_kind.h"

namespace instar {
namespace differ {
namespace {

// How many differences a message lists.
constexpr std::size_t kMostListed = 8;

std::string List(const std::vector<std::string>& items) {
  if (items.size() <= kMostListed) return absl::StrJoin(items, "; ");
  return absl::StrCat(
      absl::StrJoin(items.begin(), items.begin() + kMostListed, "; "), "; and ",
      items.size() - kMostListed, " more");
}

std::string Names(const std::vector<const MemberLayout*>& members) {
  return absl::StrJoin(members, ", ",
                       [](std::string* out, const MemberLayout* member) {
                         absl::StrAppend(out, member->name);
                       });
}

// "8", or "8, bit 3".
std::string Place(std::uint64_t bit_offset) {
  const std::string bytes = absl::StrCat(bit_offset / 8);
  return bit_offset % 8 == 0 ? bytes
                             : absl::StrCat(bytes, ", bit ", bit_offset % 8);
}

std::string Size(const MemberLayout& member) {
  return member.is_bit_field ? absl::StrCat(member.bit_size, " bits")
                             : absl::StrCat(member.bit_size / 8, " bytes");
}

// Whether every value of the old type is the same bytes as that value of the
// new one.
bool IsSameBytes(const MemberLayout& was, const MemberLayout& is) {
  if (was.bit_size != is.bit_size || was.is_bit_field != is.is_bit_field) {
    return false;
  }
  if (was.bare_type == is.bare_type) return true;
  return IsSameBytes(was.scalar, is.scalar);
}

bool IsInPlace(const MemberLayout& was, const MemberLayout& is) {
  return was.bit_offset == is.bit_offset &&
         was.place_by_table == is.place_by_table;
}

const char* KindName(const TypeLayout& layout) {
  switch (layout.kind) {
    case TypeLayout::Kind::kStruct:
      return "struct";
    case TypeLayout::Kind::kUnion:
      return "union";
    case TypeLayout::Kind::kEnum:
      return "enum";
  }
  return "type";
}

class Judgement {
 public:
  Judgement(const TypeLayout& was, const TypeLayout& is) : was_(was), is_(is) {
    change_.name = is.name;
    change_.old_size = was.size;
    change_.new_size = is.size;
    change_.file = is.file;
    change_.line = is.line;
    change_.is_enumeration = is.kind == TypeLayout::Kind::kEnum;
  }

  TypeChange Make() {
    if (was_.kind != is_.kind) {
      Say(absl::StrCat("was a ", KindName(was_)));
    } else if (is_.kind == TypeLayout::Kind::kEnum) {
      JudgeEnumeration();
    } else {
      JudgeClass();
    }
    said_.insert(said_.end(), moves_.begin(), moves_.end());
    const std::string size =
        was_.size == is_.size
            ? absl::StrCat(is_.size, " bytes")
            : absl::StrCat(was_.size, " -> ", is_.size, " bytes");
    change_.message = absl::StrCat(KindName(is_), " ", is_.name, " (", size,
                                   "): ", List(said_));
    return std::move(change_);
  }

 private:
  void Say(std::string what) { said_.push_back(std::move(what)); }

  void JudgeEnumeration() {
    std::map<std::string, std::int64_t> old_values;
    for (const Enumerator& e : was_.enumerators) old_values[e.name] = e.value;
    std::map<std::string, std::int64_t> new_values;
    for (const Enumerator& e : is_.enumerators) new_values[e.name] = e.value;
    std::vector<std::string> moved;
    std::vector<std::string> gone;
    for (const Enumerator& e : was_.enumerators) {
      const auto now = new_values.find(e.name);
      if (now == new_values.end()) {
        gone.push_back(e.name);
        Say(absl::StrCat(e.name, " = ", e.value, " has gone"));
      } else if (now->second != e.value) {
        moved.push_back(e.name);
        Say(absl::StrCat(e.name, " was ", e.value, ", is ", now->second));
      }
    }
    for (const Enumerator& e : is_.enumerators) {
      if (old_values.count(e.name) == 0) {
        Say(absl::StrCat(e.name, " = ", e.value, " is new"));
      }
    }
    if (was_.size != is_.size || was_.underlying != is_.underlying) {
      Say(absl::StrCat("was of ", was_.underlying, ", is of ", is_.underlying));
      change_.verdict = TypeVerdict::kChanged;
    } else if (!moved.empty()) {
      change_.verdict = TypeVerdict::kEnumeratorsMoved;
      change_.advice =
          moved.size() == 1 && IsLast(moved[0])
              ? absl::StrCat("if ", moved[0],
                             " only counts the others, and no object holds it, "
                             "the change is harmless")
              : "put new enumerators behind the others, or give them values of "
                "their own";
    } else if (!gone.empty()) {
      change_.verdict = TypeVerdict::kMembersRemoved;
      change_.advice = absl::StrCat("keep ", absl::StrJoin(gone, ", "),
                                    ": objects may hold it");
    } else {
      change_.verdict = TypeVerdict::kCompatible;
    }
  }

  // Whether no other enumerator of the old build has as high a value.
  bool IsLast(const std::string& name) const {
    std::int64_t value = 0;
    for (const Enumerator& e : was_.enumerators) {
      if (e.name == name) value = e.value;
    }
    return std::none_of(was_.enumerators.begin(), was_.enumerators.end(),
                        [&](const Enumerator& e) {
                          return e.name != name && e.value >= value;
                        });
  }

  void JudgeClass() {
    CompareMembers();
    const bool has_other_bases = CompareBases();
    const bool has_other_functions = CompareFunctions();
    if (has_other_bases) {
      change_.verdict = TypeVerdict::kBasesChanged;
    } else if (has_other_functions) {
      change_.verdict = TypeVerdict::kVirtualsChanged;
    } else if (was_.is_passed_by_address != is_.is_passed_by_address) {
      Say(is_.is_passed_by_address
              ? "was passed to functions as a copy, is by its address: copying "
                "or destroying it is no longer trivial"
              : "was passed to functions by its address, is as a copy: copying "
                "and destroying it is trivial now");
      change_.verdict = TypeVerdict::kChanged;
    } else {
      JudgeMembers();
      JudgeVirtualBases();
    }
    if (said_.empty() && moves_.empty()) Say("its alignment or size differs");
  }

  void CompareMembers() {
    std::map<std::string, const MemberLayout*> old_members;
    for (const MemberLayout& m : was_.members) {
      if (!m.is_base) old_members.emplace(m.name, &m);
    }
    std::map<std::string, const MemberLayout*> new_members;
    for (const MemberLayout& m : is_.members) {
      if (!m.is_base) new_members.emplace(m.name, &m);
    }
    for (const MemberLayout& m : was_.members) {
      if (m.is_base) continue;
      const auto now = new_members.find(m.name);
      if (now == new_members.end()) {
        gone_.push_back(&m);
        Note(&m, nullptr);
        Say(absl::StrCat(m.name, " (", m.type, " at ", Place(m.bit_offset),
                         ") has gone"));
      } else if (m != *now->second) {
        CompareMember(m, *now->second);
      }
    }
    for (const MemberLayout& m : is_.members) {
      if (m.is_base || old_members.count(m.name) != 0) continue;
      come_.push_back(&m);
      Note(nullptr, &m);
      Say(absl::StrCat(m.name, " (", m.type, ", ", Size(m), ") is new at ",
                       Place(m.bit_offset)));
    }
  }

  void CompareMember(const MemberLayout& was, const MemberLayout& is) {
    Note(&was, &is);
    std::vector<std::string> how;
    if (was.type != is.type) {
      how.push_back(absl::StrCat("was ", was.type, ", is ", is.type));
    }
    if (was.bit_size != is.bit_size) {
      how.push_back(absl::StrCat("was ", Size(was), ", is ", Size(is)));
    }
    if (!IsInPlace(was, is)) {
      how.push_back(absl::StrCat("was at ", Place(was.bit_offset), ", is at ",
                                 Place(is.bit_offset)));
      has_moved_ = true;
    }
    if (!IsSameBytes(was, is)) has_other_types_ = true;
    const std::string what =
        absl::StrCat(is.name, " ", absl::StrJoin(how, ", "));
    const bool has_only_moved =
        was.type == is.type && was.bit_size == is.bit_size;
    (has_only_moved ? moves_ : said_).push_back(what);
  }

  void Note(const MemberLayout* was, const MemberLayout* is) {
    MemberChange member;
    member.name = was != nullptr ? was->name : is->name;
    if (was != nullptr) {
      member.old_type = was->type;
      member.old_bit_offset = was->bit_offset;
      member.old_bit_size = was->bit_size;
    }
    if (is != nullptr) {
      member.new_type = is->type;
      member.new_bit_offset = is->bit_offset;
      member.new_bit_size = is->bit_size;
    }
    change_.members.push_back(std::move(member));
  }

  bool CompareBases() {
    const auto bases_of = [](const TypeLayout& layout) {
      std::vector<const MemberLayout*> bases;
      for (const MemberLayout& m : layout.members) {
        if (m.is_base) bases.push_back(&m);
      }
      return bases;
    };
    const auto old_bases = bases_of(was_);
    const auto new_bases = bases_of(is_);
    bool differs = old_bases.size() != new_bases.size();
    for (std::size_t i = 0; !differs && i < old_bases.size(); ++i) {
      differs = *old_bases[i] != *new_bases[i];
    }
    if (!differs) return false;
    const auto list = [](const std::vector<const MemberLayout*>& bases) {
      if (bases.empty()) return std::string("none");
      return absl::StrJoin(bases, ", ",
                           [](std::string* out, const MemberLayout* base) {
                             absl::StrAppend(out, base->name, " (");
                             if (base->place_by_table.empty()) {
                               absl::StrAppend(out, Size(*base), " at ",
                                               Place(base->bit_offset), ")");
                             } else {
                               absl::StrAppend(out, "virtual)");
                             }
                           });
    };
    Say(absl::StrCat("its bases were ", list(old_bases), ", are ",
                     list(new_bases)));
    return true;
  }

  bool CompareFunctions() {
    const auto find = [](const TypeLayout& layout, const std::string& name) {
      return std::find_if(
          layout.functions.begin(), layout.functions.end(),
          [&name](const VirtualFunction& f) { return f.name == name; });
    };
    bool differs = false;
    for (const VirtualFunction& function : was_.functions) {
      const auto now = find(is_, function.name);
      if (now == is_.functions.end()) {
        Say(absl::StrCat("virtual ", function.name,
                         " has gone, or is no longer virtual"));
        differs = true;
      } else if (now->slot != function.slot) {
        Say(absl::StrCat("virtual ", function.name, " was in slot ",
                         function.slot, " of the table, is in ", now->slot));
        differs = true;
      }
    }
    for (const VirtualFunction& function : is_.functions) {
      if (find(was_, function.name) != was_.functions.end()) continue;
      Say(absl::StrCat(
          "virtual ", function.name, " is new",
          function.slot < 0 ? "" : absl::StrCat(", in slot ", function.slot)));
      differs = true;
    }
    // The order of the declarations of functions that have no slot told.
    return differs || (was_.functions.size() != is_.functions.size());
  }

  void JudgeMembers() {
    change_.verdict = TypeVerdict::kChanged;
    if (has_other_types_) {
      if (!gone_.empty() || !come_.empty() || has_moved_) return;
      change_.advice =
          "keep the member as it is, and add another one for what is new";
      return;
    }
    if (!gone_.empty()) {
      JudgeRemoval();
      return;
    }
    if (has_moved_) {
      if (!come_.empty()) AdvisePlaces();
      return;
    }
    // All that was there is where it was.
    if (was_.alignment != is_.alignment) {
      Say(absl::StrCat("its alignment was ", was_.alignment, ", is ",
                       is_.alignment, " (0: that of its members)"));
      return;
    }
    if (is_.kind == TypeLayout::Kind::kUnion || come_.empty()) {
      if (was_.size == is_.size) change_.verdict = TypeVerdict::kCompatible;
      return;
    }
    const std::vector<Hole> holes = HolesOf(was_);
    const auto is_behind = [this](const MemberLayout* m) {
      return m->bit_offset >= EndOfMembers();
    };
    if (was_.size == is_.size &&
        std::all_of(come_.begin(), come_.end(),
                    [&](const MemberLayout* m) { return Lies(*m, holes); })) {
      change_.verdict = TypeVerdict::kUsesPadding;
    } else if (is_.size > was_.size && std::all_of(come_.begin(), come_.end(),
                                                   [&](const MemberLayout* m) {
                                                     return is_behind(m) ||
                                                            Lies(*m, holes);
                                                   })) {
      change_.verdict = TypeVerdict::kAppended;
      const auto fit = Fit(come_, was_);
      if (fit.has_value()) {
        change_.advice = absl::StrCat("it would not grow if you moved ", *fit,
                                      ", where there is padding");
      }
    }
  }

  // Behind the members lie the virtual bases: these may have moved.
  void JudgeVirtualBases() {
    if (!was_.has_virtual_base && !is_.has_virtual_base) return;
    if (change_.verdict != TypeVerdict::kUsesPadding &&
        change_.verdict != TypeVerdict::kFitsPadding &&
        change_.verdict != TypeVerdict::kAppended) {
      return;
    }
    Say("its virtual bases may have moved");
    change_.verdict = TypeVerdict::kBasesChanged;
    change_.advice.clear();
  }

  void JudgeRemoval() {
    if (come_.empty()) {
      change_.verdict = TypeVerdict::kMembersRemoved;
      change_.advice =
          absl::StrCat("keep ", Names(gone_), ": then nothing moves");
      return;
    }
    const auto fit = Fit(come_, was_);
    change_.advice = absl::StrCat(
        "keep ", Names(gone_), ", and move ",
        fit.has_value()
            ? absl::StrCat(*fit, ", where there is padding")
            : absl::StrCat(Names(come_), " behind all other members"));
  }

  void AdvisePlaces() {
    const auto fit = Fit(come_, was_);
    if (fit.has_value()) {
      change_.verdict = TypeVerdict::kFitsPadding;
      change_.advice = absl::StrCat("move ", *fit,
                                    ", where there is padding: then nothing "
                                    "else moves");
      return;
    }
    change_.advice =
        absl::StrCat("move ", Names(come_),
                     " behind all other members: then nothing else moves");
  }

  std::uint64_t EndOfMembers() const {
    std::uint64_t end = 0;
    for (const MemberLayout& member : was_.members) {
      end = std::max(end, member.end());
    }
    return end;
  }

  const TypeLayout& was_;
  const TypeLayout& is_;
  TypeChange change_;
  std::vector<std::string> said_;
  std::vector<std::string> moves_;  // said last, as there may be many
  std::vector<const MemberLayout*> gone_;
  std::vector<const MemberLayout*> come_;
  bool has_moved_ = false;
  bool has_other_types_ = false;
};

}  // namespace

TypeChange Judge(const TypeLayout& was, const TypeLayout& is) {
  TypeChange change = Judgement(was, is).Make();
  change.is_updatable = std::any_of(
      was.members.begin(), was.members.end(), [](const MemberLayout& member) {
        return member.is_base &&
               absl::StartsWith(member.type, "instar::Updatable<");
      });
  return change;
}

}  // namespace differ
}  // namespace instar

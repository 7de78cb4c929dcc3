// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/type_changes.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/differ/dwarf/regrouping.h"
#include "tools/differ/dwarf/type_judge.h"
#include "tools/differ/dwarf/type_layout.h"

namespace instar {
namespace differ {
namespace {

std::size_t HashOf(const TypeLayout& layout) {
  std::size_t hash = absl::HashOf(static_cast<int>(layout.kind), layout.size,
                                  layout.alignment, layout.underlying);
  for (const MemberLayout& m : layout.members) {
    hash = absl::HashOf(hash, m.name, m.type, m.bit_offset, m.bit_size);
  }
  for (const VirtualFunction& f : layout.functions) {
    hash = absl::HashOf(hash, f.name, f.slot);
  }
  for (const Enumerator& e : layout.enumerators) {
    hash = absl::HashOf(hash, e.name, e.value);
  }
  return hash;
}

// FNV-1a of what IsSame() compares, without const and volatile. absl::HashOf()
// is another one in each process.
std::uint64_t DigestOf(const TypeLayout& layout) {
  std::string text =
      absl::StrCat(static_cast<int>(layout.kind), ",", layout.size, ",",
                   layout.is_passed_by_address, ",", layout.underlying);
  for (const MemberLayout& m : layout.members) {
    absl::StrAppend(&text, ";", m.name, ",", m.bare_type, ",", m.bit_offset,
                    ",", m.bit_size, ",", m.place_by_table);
  }
  for (const VirtualFunction& f : layout.functions) {
    absl::StrAppend(&text, ";", f.name, ",", f.slot);
  }
  for (const Enumerator& e : layout.enumerators) {
    absl::StrAppend(&text, ";", e.name, ",", e.value);
  }
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
  }
  return hash;
}

// What type_info symbols say at least of a type: the last part of its name,
// with its length before it.
std::string MangledEnd(const std::string& name) {
  std::size_t end = name.find('<');
  if (end == std::string::npos) end = name.size();
  const std::size_t colon = name.rfind(':', end);
  const std::size_t begin = colon == std::string::npos ? 0 : colon + 1;
  return absl::StrCat(end - begin, name.substr(begin, end - begin));
}

// Between the name of a type that is local to a file, and its object's.
constexpr char kIn[] = " in ";

}  // namespace

absl::string_view ToString(TypeVerdict verdict) {
  switch (verdict) {
    case TypeVerdict::kCompatible:
      return "compatible";
    case TypeVerdict::kUsesPadding:
      return "uses padding";
    case TypeVerdict::kFitsPadding:
      return "would fit into padding";
    case TypeVerdict::kAppended:
      return "members appended";
    case TypeVerdict::kMembersRemoved:
      return "members removed";
    case TypeVerdict::kEnumeratorsMoved:
      return "enumerators moved";
    case TypeVerdict::kBasesChanged:
      return "bases changed";
    case TypeVerdict::kVirtualsChanged:
      return "virtual functions changed";
    case TypeVerdict::kChanged:
      return "changed";
    case TypeVerdict::kAmbiguous:
      return "ambiguous";
  }
  return "unknown";
}

TypeSet::TypeSet() = default;
TypeSet::~TypeSet() = default;
TypeSet::TypeSet(TypeSet&&) noexcept = default;
TypeSet& TypeSet::operator=(TypeSet&&) noexcept = default;

std::uint32_t TypeSet::LayoutIndex(TypeLayout layout) {
  std::vector<std::uint32_t>& same = by_hash_[HashOf(layout)];
  for (const std::uint32_t index : same) {
    if (layouts_[index]->name == layout.name &&
        IsSame(*layouts_[index], layout) &&
        HasSameParts(*layouts_[index], layout)) {
      return index;
    }
  }
  same.push_back(static_cast<std::uint32_t>(layouts_.size()));
  layouts_.push_back(std::make_unique<TypeLayout>(std::move(layout)));
  return same.back();
}

void TypeSet::Add(const ObjectDebugInfo& object, absl::string_view name) {
  const auto number = static_cast<std::uint32_t>(objects_.size());
  objects_.emplace_back(name);
  for (TypeLayout& layout : LayoutsOf(object)) {
    // A coroutine that is suspended goes on in the code that made its frame.
    if (absl::EndsWith(layout.name, ".Frame")) continue;
    std::string key = layout.name;
    if (layout.is_local) absl::StrAppend(&key, kIn, name);
    const std::uint32_t index = LayoutIndex(std::move(layout));
    std::vector<Use>& uses = types_[std::move(key)];
    uses.push_back({number, index});
  }
  TypeUses uses = UsesOf(object);
  pointed_to_.insert(uses.pointed_to.begin(), uses.pointed_to.end());
  passed_.insert(uses.passed.begin(), uses.passed.end());
  local_.insert(uses.local.begin(), uses.local.end());
  with_type_info_.insert(uses.with_type_info.begin(),
                         uses.with_type_info.end());
  declared_.insert(uses.declared.begin(), uses.declared.end());
  for (auto& held : uses.held_by) {
    held_by_[std::move(held.first)].insert(std::move(held.second));
  }
  for (auto& held : uses.variables) {
    variables_[std::move(held.first)].insert(std::move(held.second));
  }
}

bool TypeSet::Describes(const std::string& name) const {
  // One that is local to a file is described in it.
  const auto at = types_.lower_bound(name);
  return at != types_.end() &&
         (at->first == name || absl::StartsWith(at->first, name + kIn));
}

bool TypeSet::IsUnion(const std::string& name) const {
  const auto type = types_.find(name);
  return type != types_.end() && layouts_[type->second.front().layout]->kind ==
                                     TypeLayout::Kind::kUnion;
}

std::set<std::uint64_t> TypeSet::DigestsOf(const std::vector<Use>& uses) const {
  std::set<std::uint64_t> digests;
  for (const Use& use : uses) digests.insert(DigestOf(*layouts_[use.layout]));
  return digests;
}

std::vector<std::string> TypeSet::Undescribed() const {
  std::vector<std::string> result;
  for (const std::string& name : declared_) {
    if (!Describes(name)) result.push_back(name);
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<std::string> IncomparableTypes(const TypeSet& was,
                                           const TypeSet& is) {
  std::vector<std::string> result;
  for (const std::string& name : was.Undescribed()) {
    if (is.Describes(name)) result.push_back(name);
  }
  for (const std::string& name : is.Undescribed()) {
    if (was.Describes(name)) result.push_back(name);
  }
  std::sort(result.begin(), result.end());
  return result;
}

class TypeComparison {
 public:
  TypeComparison(const TypeSet& was, const TypeSet& is) : was_(was), is_(is) {}

  bool IsOnStacksOnly(const std::string& name) const {
    TypeChange type;
    type.name = name;
    FindObjects(name, &type);
    return type.is_on_stacks_only();
  }

  std::vector<TypeChange> Compare() {
    std::vector<TypeChange> changes;
    for (const auto& type : is_.types_) {
      const auto old_type = was_.types_.find(type.first);
      if (old_type == was_.types_.end()) continue;
      CompareType(old_type->second, type.second, &changes);
    }
    CompareRenamed(&changes);
    return changes;
  }

 private:
  using Uses = std::vector<TypeSet::Use>;
  // An object's name -> the numbers of this type's layouts in it, where those
  // of both builds are counted together; in the order of their descriptions, or
  // one, if all are the same. (Several are those of several blocks.)
  using ByObject = std::map<std::string, std::vector<std::size_t>>;

  void CompareType(const Uses& old_uses, const Uses& new_uses,
                   std::vector<TypeChange>* changes) {
    std::vector<const TypeLayout*> layouts;
    const ByObject old_objects = Numbered(was_, old_uses, &layouts);
    const ByObject new_objects = Numbered(is_, new_uses, &layouts);
    if (layouts.size() == 1) return;
    const std::set<std::size_t> old_layouts = All(old_objects);
    const std::set<std::size_t> new_layouts = All(new_objects);
    std::vector<std::string> differing;
    for (const auto& object : new_objects) {
      const auto before = old_objects.find(object.first);
      // What an object that is new, or uses the type anew, says of it is either
      // what another one said already, or a change.
      // Of several nobody knows which one it was.
      const bool differs = before == old_objects.end()
                               ? old_layouts.size() != 1 ||
                                     object.second.size() != 1 ||
                                     object.second[0] != *old_layouts.begin()
                               : before->second != object.second;
      if (differs) differing.push_back(object.first);
    }
    if (differing.empty()) return;
    TypeChange change =
        Judge(*layouts[*old_layouts.rbegin()], *layouts[*new_layouts.rbegin()]);
    if (old_layouts.size() != 1 || new_layouts.size() != 1) {
      MakeAmbiguous(old_objects, new_objects, differing, layouts, &change);
    } else if (change.verdict != TypeVerdict::kCompatible &&
               IsRegrouped(old_uses, new_uses)) {
      change.verdict = TypeVerdict::kCompatible;
      change.advice.clear();
      absl::StrAppend(&change.message,
                      "; all is where it was, in other structures");
    }
    change.objects = std::move(differing);
    FindObjects(change.name, &change);
    changes->push_back(std::move(change));
  }

  // Types that only one of the builds has.
  void CompareRenamed(std::vector<TypeChange>* changes) const {
    const auto only_in = [](const TypeSet& set, const TypeSet& other) {
      std::vector<const std::pair<const std::string, Uses>*> result;
      for (const auto& type : set.types_) {
        if (other.types_.count(type.first) == 0 && type.second.size() > 0 &&
            !absl::StrContains(type.first, '<') &&
            !absl::StrContains(type.first, "{lambda(")) {
          result.push_back(&type);
        }
      }
      return result;
    };
    const auto gone = only_in(was_, is_);
    if (gone.empty()) return;
    for (const auto* const come : only_in(is_, was_)) {
      const TypeLayout& is = *is_.layouts_[come->second.front().layout];
      for (const auto* const before : gone) {
        const TypeLayout& was = *was_.layouts_[before->second.front().layout];
        if (!MayBeRenamed(was, is)) continue;
        const TypeLayout renamed = Renamed(was, is.name);
        if (IsSame(renamed, is)) continue;
        TypeChange change = Judge(renamed, is);
        if (was.name != is.name) {
          absl::StrAppend(&change.message, "; it seems to be what was ",
                          was.name);
        }
        change.objects.push_back(is_.objects_[come->second.front().object]);
        FindObjects(was.name, &change);
        changes->push_back(std::move(change));
      }
    }
  }

  static bool MayBeRenamed(const TypeLayout& was, const TypeLayout& is) {
    if (was.name == is.name) return true;  // local to another source
    if (was.kind != is.kind) return false;
    const bool is_enumeration = is.kind == TypeLayout::Kind::kEnum;
    std::set<absl::string_view> names;
    if (is_enumeration) {
      for (const Enumerator& e : was.enumerators) names.insert(e.name);
    } else {
      for (const MemberLayout& m : was.members) names.insert(m.name);
    }
    std::size_t common = 0;
    for (const Enumerator& e : is.enumerators) common += names.count(e.name);
    for (const MemberLayout& m : is.members) common += names.count(m.name);
    if (is_enumeration && absl::StrContains(was.name, "{enum ") &&
        absl::StrContains(is.name, "{enum ")) {
      return common > 0;
    }
    const auto base = [](absl::string_view path) {
      return path.substr(path.rfind('/') + 1);
    };
    const std::size_t all =
        std::max(names.size(), is.members.size() + is.enumerators.size());
    return 2 * common > all && !is.file.empty() &&
           base(was.file) == base(is.file);
  }

  // With its own name in its members' types, too: S* next is T* next.
  static TypeLayout Renamed(const TypeLayout& layout, const std::string& name) {
    TypeLayout result = layout;
    result.name = name;
    for (MemberLayout& member : result.members) {
      for (std::string* const type : {&member.type, &member.bare_type}) {
        const auto is_part = [](char c) {
          return absl::ascii_isalnum(c) || c == '_' || c == ':';
        };
        const std::size_t end = layout.name.size();
        if (absl::StartsWith(*type, layout.name) &&
            (type->size() == end || !is_part((*type)[end]))) {
          *type = absl::StrCat(name, type->substr(end));
        }
      }
    }
    return result;
  }

  static ByObject Numbered(const TypeSet& set, const Uses& uses,
                           std::vector<const TypeLayout*>* layouts) {
    ByObject result;
    for (const TypeSet::Use& use : uses) {
      const TypeLayout* const layout = set.layouts_[use.layout].get();
      std::size_t number = 0;
      while (number < layouts->size() &&
             !IsSame(*(*layouts)[number], *layout)) {
        ++number;
      }
      if (number == layouts->size()) layouts->push_back(layout);
      result[set.objects_[use.object]].push_back(number);
    }
    for (auto& object : result) {
      std::vector<std::size_t>& numbers = object.second;
      if (std::count(numbers.begin(), numbers.end(), numbers.front()) ==
          static_cast<std::ptrdiff_t>(numbers.size())) {
        numbers.resize(1);
      }
    }
    return result;
  }

  // Whether it is that wherever it is described: what is in a structure in it
  // may be another thing in each object.
  bool IsRegrouped(const Uses& old_uses, const Uses& new_uses) const {
    return std::all_of(
        old_uses.begin(), old_uses.end(), [&](const TypeSet::Use& old_use) {
          return std::all_of(new_uses.begin(), new_uses.end(),
                             [&](const TypeSet::Use& new_use) {
                               return differ::IsRegrouped(
                                   *was_.layouts_[old_use.layout],
                                   *is_.layouts_[new_use.layout]);
                             });
        });
  }

  static std::set<std::size_t> All(const ByObject& objects) {
    std::set<std::size_t> all;
    for (const auto& object : objects) {
      all.insert(object.second.begin(), object.second.end());
    }
    return all;
  }

  static void MakeAmbiguous(const ByObject& old_objects,
                            const ByObject& new_objects,
                            const std::vector<std::string>& differing,
                            const std::vector<const TypeLayout*>& layouts,
                            TypeChange* change) {
    change->verdict = TypeVerdict::kAmbiguous;
    const auto describe = [&layouts](const ByObject& objects) {
      std::map<std::size_t, std::vector<std::string>> by_layout;
      for (const auto& object : objects) {
        for (const std::size_t layout : object.second) {
          std::vector<std::string>& in = by_layout[layout];
          if (in.empty() || in.back() != object.first)
            in.push_back(object.first);
        }
      }
      std::vector<std::string> parts;
      for (const auto& layout : by_layout) {
        const std::size_t listed =
            std::min<std::size_t>(layout.second.size(), 3);
        parts.push_back(
            absl::StrCat(layouts[layout.first]->size, " bytes in ",
                         absl::StrJoin(layout.second.begin(),
                                       layout.second.begin() + listed, ", "),
                         listed < layout.second.size() ? ", ..." : ""));
      }
      return absl::StrJoin(parts, "; ");
    };
    change->message = absl::StrCat(
        change->name, " names several types: in the old build ",
        describe(old_objects), "; in the new one ", describe(new_objects),
        "; what differs is in ", absl::StrJoin(differing, ", "));
    change->advice =
        "compile all that uses it anew; if these are different types, give "
        "them "
        "different names";
  }

  void FindObjects(const std::string& old_name, TypeChange* change) const {
    std::set<std::string> variables;
    for (const TypeSet* const set : {&was_, &is_}) {
      // It, and all that holds it.
      const std::string& name = set == &was_ ? old_name : change->name;
      std::set<std::string> holders = {name};
      std::vector<std::string> pending = {name};
      while (!pending.empty()) {
        const auto held_by = set->held_by_.find(pending.back());
        pending.pop_back();
        if (held_by == set->held_by_.end()) continue;
        for (const std::string& holder : held_by->second) {
          if (holders.insert(holder).second) pending.push_back(holder);
        }
      }
      for (const std::string& holder : holders) {
        change->is_in_union |= set->IsUnion(holder);
        const auto found = set->variables_.find(holder);
        if (found != set->variables_.end()) {
          variables.insert(found->second.begin(), found->second.end());
        }
        change->is_pointed_to |= set->pointed_to_.count(holder) != 0;
        change->is_local_variable |= set->local_.count(holder) != 0;
        change->is_passed_by_value |= set->passed_.count(holder) != 0;
        const std::string end = MangledEnd(holder);
        for (const std::string& symbol : set->with_type_info_) {
          change->is_thrown |= absl::StrContains(symbol, end);
        }
      }
    }
    change->variables.assign(variables.begin(), variables.end());
  }

  const TypeSet& was_;
  const TypeSet& is_;
};

TypeDigests GoneTypes(const TypeSet& was, const TypeSet& is) {
  TypeDigests gone;
  const TypeComparison comparison(was, is);
  for (const auto& type : was.types_) {
    // Closures go on with their own code.
    if (is.types_.count(type.first) != 0 ||
        absl::StrContains(type.first, "{lambda(") ||
        comparison.IsOnStacksOnly(
            was.layouts_[type.second.front().layout]->name)) {
      continue;
    }
    gone[type.first] = was.DigestsOf(type.second);
  }
  return gone;
}

std::vector<std::string> ReturnedTypes(const TypeSet& was, const TypeSet& is,
                                       const TypeDigests& gone) {
  std::vector<std::string> returned;
  for (const auto& type : gone) {
    const auto now = is.types_.find(type.first);
    if (now == is.types_.end() || was.types_.count(type.first) != 0) continue;
    const std::set<std::uint64_t> digests = is.DigestsOf(now->second);
    if (!std::includes(type.second.begin(), type.second.end(), digests.begin(),
                       digests.end())) {
      returned.push_back(is.layouts_[now->second.front().layout]->name);
    }
  }
  return returned;
}

std::vector<TypeChange> CompareTypes(const TypeSet& was, const TypeSet& is) {
  return TypeComparison(was, is).Compare();
}

}  // namespace differ
}  // namespace instar

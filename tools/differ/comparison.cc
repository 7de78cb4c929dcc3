// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/comparison.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// What a reference to a mergeable section means: the constant, and the part of
// it that is used.
std::string MergedContents(const Object& object, const Relocation& relocation) {
  const Symbol& symbol = object.SymbolOf(relocation);
  const Section& section = object.elf().sections()[symbol.section];
  const bool is_relative =
      relocation.type == R_X86_64_PC32 || relocation.type == R_X86_64_PLT32;
  std::uint64_t at = symbol.value;
  std::int64_t rest = relocation.addend;
  if (symbol.type == STT_SECTION) {
    at += static_cast<std::uint64_t>(relocation.addend + (is_relative ? 4 : 0));
    rest = is_relative ? -4 : 0;
  }
  const std::uint64_t step = std::max<std::uint64_t>(section.entry_size, 1);
  if (at >= section.bytes.size()) return absl::StrCat("outside ", at);
  std::uint64_t begin = at;
  std::uint64_t end = at;
  if (section.Has(SHF_STRINGS)) {
    // An operand with an immediate behind it seems to begin before its string:
    // at the zero of the one before. So after an empty one comes the next.
    for (int strings = 0; strings < 2; ++strings) {
      const std::uint64_t start = end;
      while (end + step <= section.bytes.size() &&
             section.bytes.substr(end, step).find_first_not_of('\0') !=
                 absl::string_view::npos) {
        end += step;
      }
      if (end != start) break;
      end = std::min<std::uint64_t>(end + step, section.bytes.size());
    }
  } else if (at % step == 0) {
    end = std::min<std::uint64_t>(at + step, section.bytes.size());
  } else {
    // Either the middle of a constant, or one that an immediate follows, and
    // which begins a little later.
    begin = at / step * step;
    end = std::min<std::uint64_t>(begin + 2 * step, section.bytes.size());
  }
  return absl::StrCat(rest, ",", at - begin, ",", step, ",",
                      section.bytes.substr(begin, end - begin));
}

// The text that a reference leads to; nothing if it is none.
std::optional<absl::string_view> TextOf(const Object& object,
                                        const Relocation& relocation) {
  const Symbol& symbol = object.SymbolOf(relocation);
  if (symbol.section >= object.elf().sections().size()) return std::nullopt;
  const Section& section = object.elf().sections()[symbol.section];
  if (!section.Has(SHF_STRINGS) || section.entry_size != 1) return std::nullopt;
  return StringAt(section.bytes, OffsetInTarget(object, relocation));
}

std::string Quoted(const Object& object, const Relocation& relocation) {
  const auto text = TextOf(object, relocation);
  return text ? absl::StrCat("\"", text->substr(0, 40), "\"") : "";
}

// Of what refers to a constant: which one has other contents. Those on the way
// there, of a list, are not named.
std::string ByConstant(const Unit& constant, std::string why) {
  if (why.empty() || absl::StartsWith(why, "constant ")) return why;
  return absl::StrCat("constant ", Demangle(constant.name), ": ", why);
}

std::string ReadableTarget(const Object& object, const Relocation& relocation) {
  const Symbol& symbol = object.SymbolOf(relocation);
  if (!symbol.name.empty()) return Demangle(symbol.name);
  const Unit* unit = object.UnitOf(symbol.section);
  if (unit != nullptr && !unit->is_anonymous()) return Demangle(unit->name);
  return symbol.section < object.elf().sections().size()
             ? std::string(object.elf().sections()[symbol.section].name)
             : "nothing";
}

absl::string_view WithoutPadding(absl::string_view bytes) {
  // The last entry of .eh_frame is padded with no-ops, which are zeros.
  while (!bytes.empty() && bytes.back() == '\0') bytes.remove_suffix(1);
  return bytes;
}

// The variables of a section that has several, with their places.
std::multimap<absl::string_view, std::uint64_t> PlacesIn(const Unit& unit) {
  std::multimap<absl::string_view, std::uint64_t> places;
  for (const Symbol* symbol : unit.symbols) {
    places.emplace(symbol->name, symbol->value);
  }
  return places;
}

}  // namespace

Comparison::Comparison(std::vector<ObjectPair> pairs, DebugQuestions questions)
    : pairs_(std::move(pairs)), questions_(std::move(questions)) {
  Match();
  SeparateNumbered(/*is_compared=*/false);
  SeparateChangedClosures();
  Compare();
  CheckMatchesByOrder();
  Judge();
}

const Unit* Comparison::DefinedByNew(absl::string_view name) const {
  const auto found = new_globals_.find(name);
  return found == new_globals_.end() ? nullptr : found->second;
}

absl::flat_hash_set<const Unit*> Comparison::WithNewVersion() const {
  absl::flat_hash_set<const Unit*> result;
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->old != nullptr) result.insert(unit->old);
    }
  }
  return result;
}

// What refers to a unit that is found not to be the one that it was matched
// with has changed, too. So all is compared anew until no more are found; each
// round takes at least one of the matches.
void Comparison::Compare() {
  while (!CompareOnce()) continue;
}

// Returns whether all matches are right, as far as this tells.
bool Comparison::CompareOnce() {
  known_.clear();
  found_same_.clear();
  moved_only_.clear();
  with_moved_texts_.clear();
  bool is_right = true;
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->is_anonymous()) is_right &= CompareUnit(*unit);
    }
  }
  return !SeparateNumbered(/*is_compared=*/true) && is_right;
}

// Returns whether it is still matched with what it was matched with.
bool Comparison::CompareUnit(Unit& unit) {
  if (unit.old == nullptr) {
    unit.status = UnitStatus::kNew;
    return true;
  }
  unit.why = WhyNotSame(*unit.old, unit);
  unit.status = unit.why.empty() ? UnitStatus::kSame : UnitStatus::kChanged;
  if (unit.status == UnitStatus::kSame && unit.is_function() &&
      (unit.main().bytes != unit.old->main().bytes ||
       with_moved_texts_.count(&unit.main()) != 0)) {
    moved_only_.push_back(&unit);
  }
  if (unit.status == UnitStatus::kChanged && unit.is_function() &&
      IsClone(unit.name)) {
    if (IsPartOfCoroutine(unit.name)) {
      findings_.Note(
          unit.object->name(),
          absl::StrCat(Demangle(unit.name), " has changed (", unit.why,
                       "): coroutines that are suspended finish in "
                       "the version that they began in"));
    }
    Separate(unit);
    return false;
  }
  if (unit.status == UnitStatus::kChanged && guessed_.count(&unit) != 0) {
    findings_.Refuse(
        unit.object->name(),
        absl::StrCat(Demangle(unit.name),
                     " is named by its line, and which function it was before "
                     "cannot be told. Give it a name of its own, or compile "
                     "with -g and give the old sources (--old-sources)"));
    Separate(unit);
    return false;
  }
  return true;
}

std::string Comparison::WhyNotSame(const Unit& a, const Unit& b) {
  if (a.parts.size() != b.parts.size()) return "its cold part";
  if (b.is_variable() && (a.is_compound || b.is_compound) &&
      PlacesIn(a) != PlacesIn(b)) {
    return "where its variables are";
  }
  if (a.is_function() && a.entry != b.entry) return "its thunks";
  // The linker has both in sections of one kind, and lets nobody write the old
  // one, once the program has been loaded (RELRO).
  if (b.is_variable() && a.is_constant() && !b.is_constant()) {
    return "it can be written now";
  }
  for (std::size_t i = 0; i < a.parts.size(); ++i) {
    std::string why =
        WhyNotSameSection(*a.object, *a.parts[i], *b.object, *b.parts[i]);
    if (!why.empty()) return why;
  }
  return WhyNotSameFrames(a, b);
}

std::string Comparison::WhyNotSameFrames(const Unit& a, const Unit& b) {
  static constexpr char kUnwinding[] = "how it is unwound";
  if (a.frames.size() != b.frames.size()) return kUnwinding;
  const auto why = [&](const Frame& in_a, const Frame& in_b,
                       std::size_t skipped) -> std::string {
    if (in_a.relocations.size() != in_b.relocations.size() ||
        WithoutPadding(in_a.bytes.substr(skipped)) !=
            WithoutPadding(in_b.bytes.substr(skipped))) {
      return kUnwinding;
    }
    for (std::size_t i = 0; i < in_a.relocations.size(); ++i) {
      if (in_a.relocations[i].offset != in_b.relocations[i].offset) {
        return kUnwinding;
      }
      std::string target = WhyNotSameTarget(*a.object, in_a.relocations[i],
                                            *b.object, in_b.relocations[i]);
      if (!target.empty()) return target;
    }
    return "";
  };
  for (std::size_t i = 0; i < a.frames.size(); ++i) {
    // Their length, with the padding, and the way to their CIE differ.
    std::string of_frame = why(a.frames[i], b.frames[i], 8);
    if (!of_frame.empty()) return of_frame;
    of_frame = why(a.object->common_frames()[a.frames[i].common],
                   b.object->common_frames()[b.frames[i].common], 8);
    if (!of_frame.empty()) return of_frame;
  }
  return "";
}

std::string Comparison::WhyNotSameSection(const Object& a, const Section& in_a,
                                          const Object& b,
                                          const Section& in_b) {
  const auto key = std::make_pair(&in_a, &in_b);
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  // A stack has an end; a list of constants may be longer.
  constexpr int kMostDepth = 2000;
  if (depth_ > kMostDepth) return "what it leads to, far away";
  ++depth_;
  const absl::Cleanup leave = [this] { --depth_; };
  // Two that refer to each other are the same if nothing else says otherwise.
  // If something does, what has been found to be the same meanwhile may rest on
  // that, and is forgotten.
  known_[key] = "";
  const std::size_t begin = found_same_.size();
  std::string why = WhyNotSameSectionNow(a, in_a, b, in_b);
  if (why.empty()) {
    found_same_.push_back(key);
    return why;
  }
  for (std::size_t i = begin; i < found_same_.size(); ++i) {
    known_.erase(found_same_[i]);
  }
  found_same_.resize(begin);
  known_[key] = why;
  return why;
}

std::string Comparison::WhyNotSameSectionNow(const Object& a,
                                             const Section& in_a,
                                             const Object& b,
                                             const Section& in_b) {
  if (in_a.size != in_b.size) {
    return absl::StrCat(in_a.size, " -> ", in_b.size, " bytes");
  }
  // A group may be given up or joined: that changes no contents.
  constexpr std::uint64_t kIgnored = SHF_GROUP;
  if (in_a.type != in_b.type || ((in_a.flags ^ in_b.flags) & ~kIgnored) != 0 ||
      in_a.alignment != in_b.alignment) {
    return "the kind of its section";
  }
  if (in_a.relocations.size() != in_b.relocations.size()) {
    return "what it refers to";
  }
  for (std::size_t i = 0; i < in_a.relocations.size(); ++i) {
    const Relocation& of_a = in_a.relocations[i];
    const Relocation& of_b = in_b.relocations[i];
    if (of_a.offset != of_b.offset || of_a.type != of_b.type) {
      return absl::StrCat(in_a.Has(SHF_EXECINSTR) ? "its code" : "its contents",
                          " at +", std::min(of_a.offset, of_b.offset));
    }
  }
  const auto& in_lines_only = in_a.Has(SHF_EXECINSTR)
                                  ? questions_.differs_in_lines_only
                                  : questions_.variables_differ_in_lines_only;
  if (in_a.bytes != in_b.bytes &&
      !(in_lines_only && in_lines_only(a, in_a, b, in_b))) {
    const auto at = static_cast<std::uint64_t>(
        std::mismatch(in_a.bytes.begin(), in_a.bytes.end(), in_b.bytes.begin())
            .first -
        in_a.bytes.begin());
    return absl::StrCat(in_a.Has(SHF_EXECINSTR) ? "its code" : "its contents",
                        " at +", at);
  }
  for (std::size_t i = 0; i < in_a.relocations.size(); ++i) {
    std::string why =
        WhyNotSameTarget(a, in_a.relocations[i], b, in_b.relocations[i]);
    if (why.empty()) continue;
    if (!IsMovedText({a, in_a, in_a.relocations[i].offset}, in_a.relocations[i],
                     {b, in_b, in_b.relocations[i].offset},
                     in_b.relocations[i])) {
      return why;
    }
    with_moved_texts_.insert(&in_b);
  }
  return "";
}

bool Comparison::IsMovedText(const CodePlace& in_a, const Relocation& of_a,
                             const CodePlace& in_b,
                             const Relocation& of_b) const {
  if (!in_a.section.Has(SHF_EXECINSTR) || !questions_.differs_in_line_of_text) {
    return false;
  }
  const auto old_text = TextOf(in_a.object, of_a);
  const auto new_text = TextOf(in_b.object, of_b);
  return old_text && new_text &&
         questions_.differs_in_line_of_text(in_a, *old_text, in_b, *new_text);
}

std::string Comparison::WhyNotSameTarget(const Object& a,
                                         const Relocation& in_a,
                                         const Object& b,
                                         const Relocation& in_b) {
  if (in_a.type != in_b.type) return "what it refers to";
  const Symbol& of_a = a.SymbolOf(in_a);
  const Symbol& of_b = b.SymbolOf(in_b);
  const Unit* unit_a = a.UnitOf(of_a.section);
  const Unit* unit_b = b.UnitOf(of_b.section);
  const auto other = [&] {
    return absl::StrCat("refers to ", ReadableTarget(b, in_b), " in place of ",
                        ReadableTarget(a, in_a));
  };
  if (of_a.section == kAbsolute || of_b.section == kAbsolute) {
    return of_a.section == of_b.section && of_a.name == of_b.name &&
                   of_a.value == of_b.value && in_a.addend == in_b.addend
               ? ""
               : other();
  }
  const bool is_named_a = !of_a.is_local() || of_a.section == kUndefined;
  const bool is_named_b = !of_b.is_local() || of_b.section == kUndefined;
  if (is_named_a && is_named_b) {
    if (of_a.name != of_b.name || in_a.addend != in_b.addend) return other();
    if (unit_b == nullptr) unit_b = DefinedByNew(of_b.name);
    if (unit_b == nullptr) {
      const auto shared = shared_constants_.find(of_b.name);
      if (shared == shared_constants_.end()) return "";
      unit_b = shared->second;
    }
    if (unit_b->is_separate) return other();
    // What has the name now may be what had another one, or none.
    const auto was = old_globals_.find(of_a.name);
    if (was != old_globals_.end() && IsExported(*unit_b) &&
        unit_b->old != was->second) {
      return other();
    }
    if (unit_b->old != nullptr && unit_b->is_variable() &&
        unit_b->is_constant() && !IsVirtualTable(unit_b->name) &&
        !IsTypeInfo(unit_b->name)) {
      return ByConstant(
          *unit_b, WhyNotSameSection(*unit_b->old->object, unit_b->old->main(),
                                     *unit_b->object, unit_b->main()));
    }
    return "";
  }
  if (unit_a == nullptr || unit_b == nullptr) {
    // A static that is defined in another object now, or was.
    if (unit_b == nullptr) unit_b = DefinedByNew(of_b.name);
    if (unit_a == nullptr) {
      const auto found = old_globals_.find(of_a.name);
      if (found != old_globals_.end()) unit_a = found->second;
    }
    if (unit_a == nullptr || unit_b == nullptr || unit_b->old != unit_a ||
        OffsetInTarget(a, in_a) != OffsetInTarget(b, in_b)) {
      return other();
    }
    return "";
  }
  const Section& section_a = a.elf().sections()[of_a.section];
  const Section& section_b = b.elf().sections()[of_b.section];
  if (is_named_a != is_named_b) {
    return unit_b->old == unit_a &&
                   OffsetInTarget(a, in_a) == OffsetInTarget(b, in_b)
               ? ""
               : other();
  }
  if (section_a.Has(SHF_MERGE) && section_b.Has(SHF_MERGE)) {
    if (MergedContents(a, in_a) == MergedContents(b, in_b)) return "";
    const std::string before = Quoted(a, in_a);
    const std::string now = Quoted(b, in_b);
    return before.empty() ? "a constant"
                          : absl::StrCat("string ", before, " -> ", now);
  }
  if (unit_a->kind != unit_b->kind) return other();
  if (of_a.value + static_cast<std::uint64_t>(in_a.addend) !=
      of_b.value + static_cast<std::uint64_t>(in_b.addend)) {
    return unit_a->is_anonymous() ? "a constant" : other();
  }
  if (unit_b->is_anonymous()) {
    return WhyNotSameSection(a, section_a, b, section_b);
  }
  if (unit_b->old != unit_a) return other();
  if (unit_b->is_function()) {
    // References to its cold part, and to clones, which nothing redirects.
    if (of_a.section != unit_a->main().index &&
        of_b.section == unit_b->main().index) {
      return other();
    }
    if (IsClone(unit_b->name)) {
      return WhyNotSameSection(a, section_a, b, section_b);
    }
    return "";
  }
  if (unit_b->is_constant() && !unit_b->is_global() &&
      !IsVirtualTable(unit_b->name) && !IsTypeInfo(unit_b->name)) {
    return ByConstant(*unit_b, WhyNotSameSection(a, section_a, b, section_b));
  }
  return "";
}

}  // namespace differ
}  // namespace instar

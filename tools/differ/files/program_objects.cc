// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/program_objects.h"

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/dwarf/compilation_units.h"
#include "tools/differ/elf_file.h"
#include "tools/differ/files/archive.h"
#include "tools/differ/files/external_names.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/files/rivals.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

class Chooser {
 public:
  Chooser(const UpdateState& state, GivenObjects given, Findings& findings)
      : state_(state), given_(std::move(given)), findings_(findings) {}

  absl::StatusOr<ProgramObjects> Run() {
    INSTAR_ASSIGN_OR_RETURN(units_, LinkedUnits::Of(state_.target().elf()));
    is_accounted_.resize(units_.all().size());
    for (ObjectFiles& files : given_.files) {
      objects_.emplace_back();
      objects_.back().files = std::move(files);
      INSTAR_RETURN_IF_ERROR(LookAtOld(objects_.size() - 1));
    }
    INSTAR_RETURN_IF_ERROR(DropTwins());
    INSTAR_RETURN_IF_ERROR(ReadNewNames());
    ChooseNew();
    CheckBrought();
    if (units_.all().empty()) {
      CheckExports();
    } else {
      CheckUnits();
    }
    CheckUses();
    for (Known& object : objects_) {
      if (object.is_twin) continue;
      if (object.is_old_chosen() || object.is_new_chosen) {
        if (!object.is_old_chosen()) object.files.old_path.clear();
        if (!object.is_new_chosen) object.files.new_path.clear();
        object.files.is_identical = object.files.is_identical &&
                                    object.is_old_chosen() &&
                                    object.is_new_chosen;
        result_.files.push_back(std::move(object.files));
      } else {
        result_.left_out.push_back(object.files.name);
      }
    }
    std::sort(result_.not_compared.begin(), result_.not_compared.end());
    return std::move(result_);
  }

 private:
  enum class Origin {
    kNone,     // not in the old build
    kProgram,  // what runs was linked from it
    kOther,    // it was not
    kUnknown,  // nothing says
  };
  struct Known : Traces {
    ObjectFiles files;
    Origin origin = Origin::kNone;
    std::string why;  // it is not the program's
    ExternalNames old_names;
    ExternalNames new_names;
    bool is_twin = false;  // another one is the same
    bool is_new_chosen = false;

    bool is_old_chosen() const {
      return origin == Origin::kProgram || origin == Origin::kUnknown;
    }
    bool is_dropped() const { return is_twin || origin == Origin::kOther; }
  };

  // --- The old build ---

  absl::Status LookAtOld(std::size_t index) {
    Known& known = objects_[index];
    const ObjectFiles& files = known.files;
    if (files.old_path.empty()) return absl::OkStatus();
    INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(files.old_path));
    known.old_names = ExternalNamesOf(elf);
    const bool is_brought = state_.HasBrought(files.name);
    if (!units_.all().empty()) {
      auto own = UnitsOfObject(elf);
      if (own.ok()) known.units = *std::move(own);
    }
    const absl::StatusOr<std::unique_ptr<Object>> object =
        Object::Read(files.old_path, files.name);
    std::set<std::size_t> units;
    if (object.ok()) {
      const absl::StatusOr<UpdateState::Located> located =
          state_.Locate(**object);
      if (!located.ok()) {
        if (is_brought || given_.is_subset) return located.status();
        known.origin = Origin::kOther;
        known.why = std::string(located.status().message());
        return absl::OkStatus();
      }
      units = PlacesOf(**object, *located, known);
    } else if (!files.is_identical) {
      return object.status();
    }
    Judge(known, units, is_brought);
    return absl::OkStatus();
  }

  // Returns the units that lie there.
  std::set<std::size_t> PlacesOf(const Object& object,
                                 const UpdateState::Located& located,
                                 Known& known) const {
    std::set<std::size_t> units;
    for (const auto& unit : object.units()) {
      const auto place = located.place_of.find(unit.get());
      if (unit->is_anonymous() || !unit->main().group.empty() ||
          unit->is_thread_local() || place == located.place_of.end() ||
          place->second.image != 0) {
        continue;
      }
      const auto found = units_.At(place->second.address);
      if (found) units.insert(*found);
      // Of a weak one another object's may have been taken.
      const bool is_its_own = std::any_of(
          unit->symbols.begin(), unit->symbols.end(),
          [](const Symbol* symbol) { return symbol->binding != STB_WEAK; });
      if (is_its_own) known.places.insert(place->second.address);
    }
    return units;
  }

  void Judge(Known& known, const std::set<std::size_t>& units,
             bool is_brought) {
    const auto has = [&](const LinkedUnits::Unit& unit) {
      return std::any_of(known.units.begin(), known.units.end(),
                         [&](const CompilationUnit& own) {
                           return is_brought ? own.name == unit.name
                                             : own.path == unit.path;
                         });
    };
    bool is_accounted = false;
    const auto account = [&](std::size_t unit) {
      is_accounted = true;
      is_accounted_[unit] = true;
    };
    for (const std::size_t unit : units) {
      if (is_brought || known.units.empty() || has(units_.all()[unit])) {
        account(unit);
      }
    }
    if (!is_accounted) {
      // Of some objects nothing is found that is theirs alone.
      for (std::size_t i = 0; i < units_.all().size(); ++i) {
        if (has(units_.all()[i])) account(i);
      }
    }
    if (is_accounted || is_brought || given_.is_subset ||
        (units_.all().empty() && !known.places.empty())) {
      known.origin = Origin::kProgram;
    } else if (units_.all().empty() || known.units.empty()) {
      known.origin = Origin::kUnknown;
    } else {
      known.origin = Origin::kOther;
      known.why = absl::StrCat(state_.target().elf().path(),
                               " has nothing of its source");
    }
  }

  // Two objects that are the same thing in the program: one is enough if they
  // are the same in both builds, or if the other was not linked.
  absl::Status DropTwins() {
    absl::flat_hash_map<std::uint64_t, std::size_t> owner_of;
    std::set<std::pair<std::size_t, std::size_t>> pairs;
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      if (objects_[i].origin != Origin::kProgram) continue;
      for (const std::uint64_t place : objects_[i].places) {
        const auto inserted = owner_of.emplace(place, i);
        if (!inserted.second && inserted.first->second != i) {
          pairs.emplace(inserted.first->second, i);
        }
      }
      if (!objects_[i].places.empty() || given_.is_subset ||
          state_.HasBrought(objects_[i].files.name)) {
        continue;
      }
      for (std::size_t other = 0; other < objects_.size(); ++other) {
        if (objects_[other].origin == Origin::kProgram &&
            !objects_[other].places.empty() &&
            AreRivals(objects_[i], objects_[other])) {
          pairs.emplace(other, i);
        }
      }
    }
    for (const auto& pair : pairs) {
      Known* first = &objects_[pair.first];
      Known* second = &objects_[pair.second];
      if (first->is_dropped() || second->is_dropped()) continue;
      INSTAR_ASSIGN_OR_RETURN(
          const bool is_same_old,
          IsSame(first->files.old_path, second->files.old_path));
      INSTAR_ASSIGN_OR_RETURN(
          const bool is_same_new,
          IsSame(first->files.new_path, second->files.new_path));
      if (!is_same_old || !is_same_new) {
        if (WasLinkedInsteadOf(units_, *second, *first)) {
          std::swap(first, second);
        }
        if (WasLinkedInsteadOf(units_, *first, *second)) {
          second->origin = Origin::kOther;
          second->why = "the program has it from " + first->files.name;
        }
        if (second->is_dropped() || second->places.empty()) continue;
        findings_.Refuse(
            second->files.name,
            absl::StrCat("has the same code as ", first->files.name,
                         ", and which of them the program was linked from "
                         "cannot be told: leave one out by --exclude"));
        continue;
      }
      if (SplitMemberPath(first->files.name)) std::swap(first, second);
      second->is_twin = true;
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<bool> IsSame(const std::string& a,
                                     const std::string& b) {
    if (a.empty() || b.empty()) return a == b;
    INSTAR_ASSIGN_OR_RETURN(const ElfFile of_a, ElfFile::Read(a));
    INSTAR_ASSIGN_OR_RETURN(const ElfFile of_b, ElfFile::Read(b));
    return of_a.bytes() == of_b.bytes();
  }

  // --- The new build ---

  absl::Status ReadNewNames() {
    for (Known& object : objects_) {
      if (object.files.new_path.empty() || object.is_twin) continue;
      if (object.files.is_identical) {
        object.new_names = object.old_names;
        continue;
      }
      INSTAR_ASSIGN_OR_RETURN(const ElfFile elf,
                              ElfFile::Read(object.files.new_path));
      object.new_names = ExternalNamesOf(elf);
    }
    return absl::OkStatus();
  }

  void ChooseNew() {
    for (Known& object : objects_) {
      if (object.files.new_path.empty() || object.is_twin) continue;
      if (object.is_old_chosen() || given_.is_subset) Take(object);
    }
    for (const Known& object : objects_) {
      if (!object.is_old_chosen()) continue;
      for (const absl::string_view name : object.old_names.exclusive) {
        old_definer_.emplace(name, &object);
      }
    }
    // As a linker does: what is used and is not there yet. Besides, what has
    // moved to a new object.
    absl::flat_hash_map<absl::string_view, std::vector<Known*>> offered;
    for (Known& object : objects_) {
      if (object.is_new_chosen || object.is_twin) continue;
      for (const absl::string_view name : object.new_names.exclusive) {
        offered[name].push_back(&object);
        if (object.files.old_path.empty() && IsMoved(name))
          wanted_.push_back(name);
      }
    }
    while (!wanted_.empty()) {
      const absl::string_view name = wanted_.back();
      wanted_.pop_back();
      const auto found = offered.find(name);
      if (found == offered.end() || new_defined_.contains(name)) continue;
      const bool is_there =
          state_.Find(name, /*may_be_hidden=*/false).has_value() ||
          state_.target().IsInLibrary(name);
      if (is_there && !IsMoved(name)) continue;
      if (found->second.size() > 1) {
        std::vector<std::string> names;
        for (const Known* one : found->second) names.push_back(one->files.name);
        findings_.Refuse(
            "", absl::StrCat(Demangle(name), " is defined by ", Listed(names),
                             ", and which of them is the program's cannot "
                             "be told: leave the others out by --exclude"));
      }
      Take(*found->second.front());
    }
  }

  bool IsMoved(absl::string_view name) const {
    return old_definer_.contains(name) && !new_defined_.contains(name);
  }

  void Take(Known& object) {
    object.is_new_chosen = true;
    new_defined_.insert(object.new_names.defined.begin(),
                        object.new_names.defined.end());
    wanted_.insert(wanted_.end(), object.new_names.used.begin(),
                   object.new_names.used.end());
  }

  // An object that the new build should have, and has not.
  void CheckUses() {
    std::map<const Known*, std::string> missing;
    for (const Known& object : objects_) {
      if (!object.is_new_chosen) continue;
      for (const absl::string_view name : object.new_names.used) {
        if (!IsMoved(name) || state_.target().IsInLibrary(name)) continue;
        missing.emplace(
            old_definer_.at(name),
            absl::StrCat("defines ", Demangle(name),
                         " in the old build; in the new one ",
                         object.files.name,
                         " uses it, and no object defines it. Has ",
                         old_definer_.at(name)->files.name, " been built?"));
      }
    }
    for (const auto& entry : missing) {
      findings_.Refuse(entry.first->files.name, entry.second);
    }
    for (const Known& object : objects_) {
      if (object.is_old_chosen() && !object.is_twin && !object.is_new_chosen &&
          missing.count(&object) == 0) {
        findings_.Warn(object.files.name,
                       "is not in the new build: the program keeps what it has "
                       "of it");
      }
    }
  }

  // --- Whether all are there ---

  // What is missing is not compared if the author knows of it.
  void CheckBrought() {
    std::set<std::string> given;
    for (const Known& object : objects_) {
      if (!object.files.old_path.empty()) given.insert(object.files.name);
    }
    for (const std::string& name : state_.brought_objects()) {
      if (given.count(name) != 0) continue;
      if (given_.is_subset || IsAmong(given_.unchanged, name)) {
        result_.not_compared.push_back(name);
      } else {
        findings_.Refuse(name,
                         "was brought by an update that is applied, and is not "
                         "among the objects of the old build: give it");
      }
    }
  }

  // With its folder if there is another one of its name.
  std::string ReadableName(const LinkedUnits::Unit& unit) const {
    const bool is_alone =
        std::count_if(units_.all().begin(), units_.all().end(),
                      [&](const LinkedUnits::Unit& other) {
                        return other.name == unit.name;
                      }) == 1;
    return is_alone ? unit.name : unit.path;
  }

  // Whether an object is one of this source, perhaps of another build.
  static bool IsOfSource(const Known& object, const LinkedUnits::Unit& unit) {
    const auto base = [](const std::string& path) {
      return path.substr(path.rfind('/') + 1);
    };
    return std::any_of(object.units.begin(), object.units.end(),
                       [&](const CompilationUnit& own) {
                         return base(own.path) == base(unit.path);
                       });
  }

  void CheckUnits() {
    std::vector<std::string> missing;
    for (std::size_t i = 0; i < units_.all().size(); ++i) {
      const LinkedUnits::Unit& unit = units_.all()[i];
      if (unit.is_empty || is_accounted_[i]) continue;
      if (given_.is_subset || IsAmong(given_.unchanged, unit.name) ||
          IsAmong(given_.unchanged, unit.path)) {
        result_.not_compared.push_back(ReadableName(unit));
        continue;
      }
      std::string text = ReadableName(unit);
      for (const Known& object : objects_) {
        if (object.origin == Origin::kOther && IsOfSource(object, unit)) {
          absl::StrAppend(&text, " (", object.why, ")");
          break;
        }
      }
      missing.push_back(std::move(text));
    }
    if (missing.empty()) return;
    const std::string first =
        missing.front().substr(0, missing.front().find(' '));
    findings_.Refuse(
        "", absl::StrCat(state_.target().elf().path(), " was also linked from ",
                         Listed(missing),
                         ", and no object of that is given. Give the folder "
                         "that has it, or say that it has not changed, by "
                         "--unchanged '",
                         first, "'"));
  }

  // Without debug information.
  void CheckExports() {
    const ElfFile& image = state_.target().elf();
    absl::flat_hash_set<absl::string_view> known;
    for (const Known& object : objects_) {
      known.insert(object.old_names.defined.begin(),
                   object.old_names.defined.end());
    }
    std::set<std::string> missing;
    for (const absl::string_view name : NamesOfImage(image)) {
      if (known.contains(name) || state_.target().IsInLibrary(name)) continue;
      std::string readable = Demangle(name);
      if (!IsAmong(given_.unchanged, readable))
        missing.insert(std::move(readable));
    }
    if (given_.is_subset) {
      if (!missing.empty()) {
        findings_.Note("", absl::StrCat(image.path(),
                                        " has no debug information: what else "
                                        "it was linked from is not known, and "
                                        "not compared"));
      }
      return;
    }
    if (!missing.empty()) {
      findings_.Refuse(
          "", absl::StrCat(image.path(), " has ",
                           Listed({missing.begin(), missing.end()}),
                           " from objects that are not given. Give them, or "
                           "the program with its debug information, which "
                           "says what they are; or say that they have not "
                           "changed, by --unchanged '*'"));
    } else if (given_.unchanged.empty()) {
      findings_.Warn(
          "", absl::StrCat(image.path(),
                           " has no debug information: an object of it that "
                           "exports nothing would not be missed"));
    }
  }

  const UpdateState& state_;
  GivenObjects given_;
  Findings& findings_;
  LinkedUnits units_;
  std::vector<bool> is_accounted_;  // by unit: an object of it is given
  std::vector<Known> objects_;
  // Names that objects of the old build define, by which.
  absl::flat_hash_map<absl::string_view, const Known*> old_definer_;
  absl::flat_hash_set<absl::string_view> new_defined_;
  std::vector<absl::string_view> wanted_;
  ProgramObjects result_;
};

}  // namespace

absl::StatusOr<ProgramObjects> ChooseObjects(const UpdateState& state,
                                             GivenObjects given,
                                             Findings& findings) {
  return Chooser(state, std::move(given), findings).Run();
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What runs: the target as it was linked, and the modules that have been
// generated for it and applied since. It knows where each unit of the old build
// is now.
//
// A module says itself where its units are, and those that it leaves where they
// were, in sections that are not loaded: .instar.objects and .instar.units; and
// what no build tells any more: which functions old code may still call, and
// which types objects may be of.

#ifndef INSTAR_TOOLS_DIFFER_UPDATE_STATE_H_
#define INSTAR_TOOLS_DIFFER_UPDATE_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/module/generated_module.h"
#include "tools/differ/linked_image.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {

// An address in an image: 0 is the target, 1 the first module, and so on.
struct Place {
  std::uint32_t image;
  std::uint64_t address;
};

// The tables of a module; strings are offsets into .instar.names
// (manager/module/generated_module.h).
inline constexpr char kObjectsSection[] = ".instar.objects";
struct ObjectRecord {
  std::uint64_t name;
  std::uint64_t digest;       // of the object's file
  std::uint64_t is_complete;  // 1: units without a record are nowhere
};
inline constexpr char kUnitsSection[] = ".instar.units";
using generated_module::kThisModule;
enum class RecordKind : std::uint32_t {
  kLocal = 0,
  kGlobal = 1,
  // What was split off a function that has this name: one for each version that
  // it has had.
  kColdPart = 2,
  // Of a function that the module has brought first, in its section: the
  // thunk's name and address.
  kThunk = 3,
};
struct UnitRecord {
  std::uint64_t object;   // index in .instar.objects
  std::uint64_t name;     // linkage name
  std::uint64_t address;  // of its section's contents
  std::uint32_t image;    // or kThisModule
  RecordKind kind;
};
// Names of functions that code which goes on as it was may call
// (judges/lasting_code.h), each as its offset.
inline constexpr char kStillCalledSection[] = ".instar.still_called";
using StillCalledRecord = std::uint64_t;

// Types that the new build does not have: one record for each layout
// (dwarf/type_changes.h).
inline constexpr char kGoneTypesSection[] = ".instar.gone_types";
struct GoneTypeRecord {
  std::uint64_t name;
  std::uint64_t digest;
};

// An update that has been generated and applied before.
struct EarlierModule {
  std::string file;         // its name without folders
  std::string update_name;  // as instarctl calls it
  std::string soname;
  std::string build_id;
};

class UpdateState {
 public:
  // `modules`: paths, in the order in which they were applied.
  // Errors: as LinkedImage::Read(); InvalidArgument for a module that is not
  // one for this target, or not for the state after those before it.
  // `target_was`: where `target` is a copy, the path that it had.
  static absl::StatusOr<UpdateState> Read(
      const std::string& target, const std::vector<std::string>& modules,
      const std::string& target_was = "");

  const LinkedImage& target() const { return *target_; }
  const std::vector<EarlierModule>& modules() const { return modules_; }

  // Linkage names of functions that code from before one of the modules may
  // still call, though the old build does not tell so.
  const std::set<std::string>& still_called() const { return still_called_; }

  // Types that a module has found to be gone: by name digests of their layouts.
  const std::map<std::string, std::set<std::uint64_t>>& gone_types() const {
    return gone_types_;
  }

  // Objects of which the modules have brought new versions, or new ones.
  bool HasBrought(const std::string& object) const {
    return objects_.count(object) != 0;
  }
  std::vector<std::string> brought_objects() const;

  // Where the units of an object of the old build are. Units that are nowhere
  // are left out.
  // Error: InvalidArgument for an object that what runs was not made of.
  struct Located {
    absl::flat_hash_map<const Unit*, Place> place_of;
    // Of each version that a function has had.
    absl::flat_hash_map<const Unit*, std::vector<Place>> cold_parts_of;
    bool is_complete = false;
  };
  absl::StatusOr<Located> Locate(const Object& object) const;

  // Where the thing is that has this name for all objects; nothing if what runs
  // has none. `may_be_hidden`: it may also be one that is known to nobody but
  // the program.
  std::optional<Place> Find(absl::string_view name, bool may_be_hidden) const;

  // Whether what Find() has found of a thunk has room for a jump at its entry.
  bool HasRoomAt(const Place& thunk) const;

 private:
  struct KnownObject {
    std::uint64_t digest;
    bool is_complete;
    std::map<std::string, Place> units;
    std::map<std::string, std::vector<Place>> cold_parts;
  };

  absl::Status AddModule(const std::string& path);

  std::unique_ptr<const LinkedImage> target_;
  std::vector<EarlierModule> modules_;
  std::set<std::string> still_called_;
  std::map<std::string, std::set<std::uint64_t>> gone_types_;
  std::map<std::string, KnownObject> objects_;  // by their names
  std::map<std::string, Place, std::less<>> globals_;
  // Thunks of modules that have room at their entries.
  std::set<std::pair<std::uint32_t, std::uint64_t>> with_room_;
};

// Of a file's contents.
std::uint64_t DigestOf(absl::string_view bytes);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_UPDATE_STATE_H_

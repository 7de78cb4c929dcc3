// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/near_place.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/linux/maps.h"

namespace instar {
namespace manager_internal {
namespace {

// A signed displacement of 32 bits, less what an instruction and the addend of
// a field take.
constexpr std::uint64_t kReach = (std::uint64_t{1} << 31) - (1 << 20);
// Below, no process may map anything (vm.mmap_min_addr).
constexpr std::uintptr_t kLowest = 0x10000;
constexpr std::uintptr_t kHighest = std::uintptr_t{1} << 47;
// Modules lie at multiples of this: what lies behind one is not its own by a
// small mistake.
constexpr std::uint64_t kStep = 0x10000;

// The highest place in this range, or 0.
std::uintptr_t HighestIn(AddressRange range, Room room) {
  if (range.end < range.begin || range.end - range.begin < room.size) return 0;
  const std::uintptr_t place = (range.end - room.size) & ~(room.alignment - 1);
  return place >= range.begin ? place : 0;
}

}  // namespace

std::vector<AddressRange> FreeRanges() {
  std::vector<AddressRange> free;
  std::uintptr_t last_end = kLowest;
  VisitMappings([&](const Mapping& mapping) {
    if (mapping.low > last_end) free.push_back({last_end, mapping.low});
    last_end = std::max(last_end, mapping.high);
    return true;
  });
  if (last_end < kHighest) free.push_back({last_end, kHighest});
  return free;
}

std::uintptr_t ChoosePlace(absl::Span<const AddressRange> free,
                           absl::Span<const AddressRange> near, Room room,
                           absl::Span<const AddressRange> taken) {
  room.alignment = std::max(room.alignment, kStep);
  std::uintptr_t lowest = kLowest;
  std::uintptr_t highest = kHighest;
  for (const AddressRange& image : near) {
    if (image.end > kReach) lowest = std::max(lowest, image.end - kReach);
    highest = std::min(highest, image.begin + kReach);
  }
  // Without what is taken; from the highest on.
  std::vector<AddressRange> ranges;
  for (auto at = free.rbegin(); at != free.rend(); ++at) {
    AddressRange rest = {std::max(at->begin, lowest),
                         std::min(at->end, highest)};
    std::vector<AddressRange> pieces = {rest};
    for (const AddressRange& other : taken) {
      std::vector<AddressRange> left;
      for (const AddressRange& piece : pieces) {
        if (other.end <= piece.begin || other.begin >= piece.end) {
          left.push_back(piece);
          continue;
        }
        if (other.end < piece.end) left.push_back({other.end, piece.end});
        if (piece.begin < other.begin) {
          left.push_back({piece.begin, other.begin});
        }
      }
      pieces = std::move(left);
    }
    std::sort(pieces.begin(), pieces.end(),
              [](const AddressRange& a, const AddressRange& b) {
                return a.begin > b.begin;
              });
    ranges.insert(ranges.end(), pieces.begin(), pieces.end());
  }
  const std::uintptr_t middle = near.empty() ? kHighest : near[0].begin;
  for (const AddressRange& range : ranges) {
    if (range.begin >= middle) continue;
    const std::uintptr_t place =
        HighestIn({range.begin, std::min(range.end, middle)}, room);
    if (place != 0) return place;
  }
  for (const AddressRange& range : ranges) {
    if (range.end <= middle) continue;
    const std::uintptr_t place =
        HighestIn({std::max(range.begin, middle), range.end}, room);
    if (place != 0) return place;
  }
  return 0;
}

absl::Status WishNotTaken(absl::string_view glibc_version) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the dynamic linker of this process (glibc ", glibc_version,
      ") does not put it near the program, where it has to lie: that of glibc "
      "before 2.36 does so only for a program that is linked with -no-pie, or "
      "is started with LD_USE_LOAD_BIAS=1 in its environment; start the "
      "program anew so, or use glibc 2.36 or later"));
}

}  // namespace manager_internal
}  // namespace instar

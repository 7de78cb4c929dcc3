// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/entry_state.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/error_text.h"
#include "base/linux/maps.h"
#include "base/status_macros.h"
#include "base/wiped.h"
#include "code/internal/thread_survey.h"

namespace instar {
namespace code_internal {
namespace {

constexpr unsigned char kNoOp[kEntrySize] = {0x0F, 0x1F, 0x44, 0x00, 0x00};
constexpr unsigned char kJump = 0xE9;
constexpr unsigned char kCall = 0xE8;
constexpr unsigned char kInt3 = 0xCC;

// jmp *[rip+0], followed by the target.
constexpr unsigned char kIslandJump[6] = {0xFF, 0x25, 0x00, 0x00, 0x00, 0x00};
constexpr size_t kIslandSize = 16;
constexpr size_t kPoolSize = 64 * 1024;

// A signed 32-bit distance, less what an entry and its surroundings take.
constexpr uintptr_t kReach = (uintptr_t{1} << 31) - 4096;

bool WithinReach(const PatchableImage& image, uintptr_t begin, uintptr_t end) {
  return std::max(end, image.end) - std::min(begin, image.begin) < kReach;
}

struct IslandPool {
  uintptr_t begin;
  std::vector<uintptr_t> targets;  // of its islands, in order
};

// Under CodeLock. Never destroyed.
std::vector<IslandPool>& Pools() {
  static auto& pools = *new std::vector<IslandPool>();
  return pools;
}

const unsigned char* BytesAt(const EntryRecord& record) {
  return reinterpret_cast<const unsigned char*>(record.entry);
}

// The stretches of address space in which nothing is mapped.
std::vector<std::pair<uintptr_t, uintptr_t>> Gaps() {
  std::vector<std::pair<uintptr_t, uintptr_t>> gaps;
  uintptr_t last_end = 0x10000;  // below, the kernel lets nobody map
  VisitMappings([&](const Mapping& mapping) {
    if (mapping.low > last_end) gaps.emplace_back(last_end, mapping.low);
    last_end = std::max(last_end, mapping.high);
    return true;
  });
  return gaps;
}

// Below the image if there is room: above the program, the heap grows.
absl::StatusOr<uintptr_t> MapPool(const PatchableImage& image) {
  const auto gaps = Gaps();
  std::vector<uintptr_t> places;
  for (auto gap = gaps.rbegin(); gap != gaps.rend(); ++gap) {
    if (gap->second <= image.begin && gap->second - gap->first >= kPoolSize) {
      places.push_back(gap->second - kPoolSize);
    }
  }
  for (const auto& gap : gaps) {
    if (gap.first >= image.end && gap.second - gap.first >= kPoolSize) {
      places.push_back(gap.second - kPoolSize);
      places.push_back(gap.first);
    }
  }
  for (const uintptr_t place : places) {
    if (!WithinReach(image, place, place + kPoolSize)) continue;
    void* const at =
        mmap(reinterpret_cast<void*>(place), kPoolSize, PROT_READ | PROT_EXEC,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (at == reinterpret_cast<void*>(place)) return place;
    if (at != MAP_FAILED) munmap(at, kPoolSize);  // kernels before 4.17
  }
  return absl::ResourceExhaustedError(absl::StrFormat(
      "no executable memory can be mapped within 2 GiB of %s, which a jump to "
      "code that far away needs",
      image.path.empty() ? "the program" : image.path));
}

absl::StatusOr<uintptr_t> MakeIsland(const CodeLock& lock, IslandPool& pool,
                                     uintptr_t target) {
  const uintptr_t island = pool.begin + pool.targets.size() * kIslandSize;
  unsigned char code[sizeof(kIslandJump) + sizeof(target)];
  memcpy(code, kIslandJump, sizeof(kIslandJump));
  memcpy(code + sizeof(kIslandJump), &target, sizeof(target));
  INSTAR_RETURN_IF_ERROR(WriteUnusedCode(lock, island, code, sizeof(code)));
  pool.targets.push_back(target);
  return island;
}

}  // namespace

absl::StatusOr<uintptr_t> ReachFrom(const CodeLock& lock,
                                    const PatchableImage& image,
                                    uintptr_t target) {
  if (WithinReach(image, target, target)) return target;
  IslandPool* with_room = nullptr;
  for (IslandPool& pool : Pools()) {
    if (!WithinReach(image, pool.begin, pool.begin + kPoolSize)) continue;
    const auto found =
        std::find(pool.targets.begin(), pool.targets.end(), target);
    if (found != pool.targets.end()) {
      return pool.begin +
             static_cast<size_t>(found - pool.targets.begin()) * kIslandSize;
    }
    if (pool.targets.size() < kPoolSize / kIslandSize) with_room = &pool;
  }
  if (with_room == nullptr) {
    INSTAR_ASSIGN_OR_RETURN(const uintptr_t place, MapPool(image));
    with_room = &Pools().emplace_back();
    with_room->begin = place;
  }
  return MakeIsland(lock, *with_room, target);
}

void EncodeEntry(const EntryRecord& record, int armed,
                 const RedirectionLayer* layer, unsigned char* bytes) {
  if (armed == 0 && layer == nullptr) {
    memcpy(bytes, kNoOp, kEntrySize);
    return;
  }
  const uintptr_t to = armed > 0 ? record.thunk : layer->reach;
  const auto distance = static_cast<int64_t>(to - (record.entry + kEntrySize));
  const auto displacement = static_cast<int32_t>(distance);
  INSTAR_CHECK(displacement == distance) << "an island is missing";
  bytes[0] = armed > 0 ? kCall : kJump;
  memcpy(bytes + 1, &displacement, sizeof(displacement));
}

std::atomic<std::uint64_t> past_target_changes{0};

void RedirectionLayer::operator delete(void* memory, size_t size) {
  WipeAndFree(memory, size);
}

uintptr_t TargetOf(const EntryRecord& record, const RedirectionLayer* layer) {
  return layer == nullptr ? record.entry + kEntrySize : layer->target;
}

bool HasOneByteNoOps(const EntryRecord& record) {
  static constexpr unsigned char kNoOps[kEntrySize] = {0x90, 0x90, 0x90, 0x90,
                                                       0x90};
  return memcmp(BytesAt(record), kNoOps, kEntrySize) == 0;
}

bool IsChangedBySomebodyElse(const CodeLock&, const EntryRecord& record) {
  if (record.trap_resume != 0) return false;
  unsigned char expected[kEntrySize];
  EncodeEntry(record, record.armed, record.layers, expected);
  if (memcmp(BytesAt(record), expected, kEntrySize) == 0) return false;
  return record.armed > 0 || record.layers != nullptr ||
         !HasOneByteNoOps(record);
}

bool HasBreakpoint(const EntryRecord& record) {
  return BytesAt(record)[0] == kInt3;
}

bool HasLostItsChange(const EntryRecord& record) {
  if (record.armed == 0 && record.layers == nullptr) return false;
  const unsigned char* const bytes = BytesAt(record);
  unsigned char expected[kEntrySize];
  EncodeEntry(record, record.armed, record.layers, expected);
  return HasOneByteNoOps(record) ||
         (bytes[0] == kNoOp[0] &&
          (memcmp(bytes + 1, kNoOp + 1, kEntrySize - 1) == 0 ||
           memcmp(bytes + 1, expected + 1, kEntrySize - 1) == 0));
}

absl::Status ChangedBySomebodyElse(const EntryRecord& record,
                                   absl::string_view name) {
  const unsigned char* const bytes = BytesAt(record);
  return ErrorWithText(
      absl::StatusCode::kFailedPrecondition,
      "the entry of %s was changed by somebody else, who set a probe (perf, "
      "bpftrace) or a breakpoint there (int3 or the like: %02x %02x %02x %02x "
      "%02x); it stays as it is. Remove that and try again",
      name, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]);
}

absl::Status MakeSafeBehindBreakpoint(const CodeLock& lock,
                                      const EntryRecord& record) {
  const unsigned char* const bytes = BytesAt(record);
  if (!HasBreakpoint(record) || record.trap_resume != 0 ||
      memcmp(bytes + 1, kNoOp + 1, kEntrySize - 1) == 0) {
    return absl::OkStatus();
  }
  ThreadSurvey survey;
  INSTAR_RETURN_IF_ERROR(SurveyThreads(survey));
  if (survey.tracer != 0) return absl::OkStatus();
  return WriteUnusedCode(lock, record.entry + 1, kNoOp + 1, kEntrySize - 1);
}

}  // namespace code_internal
}  // namespace instar

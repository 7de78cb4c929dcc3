// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Remembers the frame rules of return addresses. Part of stack/stack_walker.h.
//
// Only rules of code that is never unloaded are kept, so that an entry is right
// for ever and none is ever removed. That is the code of
//   - the program and the objects that it was linked with, and theirs;
//   - objects marked DF_1_NODELETE (linked with -z nodelete);
//   - objects named to DeclareNeverUnloaded().
// Rules of other code are computed anew each time (about 0.3 us), through
// _dl_find_object, which sees an unloaded object at once. So no walk needs to
// know whether something was unloaded since the last one, and none takes a
// lock.
//
// State of an entry (`key`; pc is a return address, below 2^63):
//
//   from        to          by
//   0           pc | kBusy  a writer that wins the compare-exchange
//   pc | kBusy  pc          the same writer, after it has stored `rule`
//   pc          -           final
//
// Memory ordering: the writer's release store of `pc` pairs with the reader's
// acquire load; without it a reader could match the key and read a rule of 0.
// A signal handler that interrupts a writer finds kBusy and computes the rule.

#ifndef INSTAR_STACK_RULE_CACHE_H_
#define INSTAR_STACK_RULE_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stack/frame_rule.h"

namespace instar {
namespace stack_internal {

// A rule of kind kFromRsp or kFromRbp in 64 bits: the kind in bits 0 to 3, an
// eighth of rbp_offset in bits 4 to 31, cfa_offset in bits 32 to 63.
class PackedRule {
 public:
  PackedRule() = default;
  explicit PackedRule(std::uint64_t bits) : bits_(bits) {}
  explicit PackedRule(const FrameRule& rule)
      : bits_(static_cast<std::uint64_t>(rule.kind) |
              ((static_cast<std::uint64_t>(
                    static_cast<std::uint32_t>(rule.rbp_offset / 8)) &
                0xfffffffu)
               << 4) |
              (static_cast<std::uint64_t>(
                   static_cast<std::uint32_t>(rule.cfa_offset))
               << 32)) {}

  std::uint64_t bits() const { return bits_; }
  RuleKind kind() const { return static_cast<RuleKind>(bits_ & 0xf); }
  std::int64_t cfa_offset() const {
    return static_cast<std::int64_t>(bits_) >> 32;
  }
  std::int64_t rbp_offset() const {
    return std::int64_t{static_cast<std::int32_t>(bits_) >> 4} * 8;
  }

 private:
  std::uint64_t bits_ = 0;
};

struct CachedRule {
  std::atomic<std::uint64_t> key;
  std::atomic<std::uint64_t> rule;
};

constexpr int kCacheBits = 14;  // 16,384 entries, 256 KiB
constexpr int kCacheProbes = 8;
constexpr std::uint64_t kBusy = std::uint64_t{1} << 63;

// The last probes lie behind the table's end.
extern CachedRule rule_cache[(1 << kCacheBits) + kCacheProbes];

inline std::size_t CacheSlot(std::uintptr_t pc) {
  return (pc * std::uint64_t{0x9e3779b97f4a7c15}) >> (64 - kCacheBits);
}

// The rule for the return address `pc`; of kind kNone if it is not there.
inline PackedRule FindCachedRule(std::uintptr_t pc) {
  const CachedRule* entry = &rule_cache[CacheSlot(pc)];
  for (int i = 0; i < kCacheProbes; ++i, ++entry) {
    const std::uint64_t key = entry->key.load(std::memory_order_acquire);
    if (key == pc) {
      return PackedRule(entry->rule.load(std::memory_order_relaxed));
    }
    if (key == 0) break;
  }
  return PackedRule();
}

// Keeps the rule if its kind has a packed form and the code is never unloaded.
// Does nothing when there is no room.
void CacheRule(std::uintptr_t pc, const FrameRule& rule);

// Whether the code at `pc` is never unloaded. Lock-free, async-signal-safe.
bool IsNeverUnloaded(std::uintptr_t pc);

}  // namespace stack_internal
}  // namespace instar

#endif  // INSTAR_STACK_RULE_CACHE_H_

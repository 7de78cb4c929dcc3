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
// State of an entry's key (k is CacheKey() of a program counter):
//
//   from       to         by
//   0          k | kBusy  a writer that wins the compare-exchange
//   k | kBusy  k          the same writer, after it has stored `rule`
//   k          -          final
//
// Memory ordering: the writer's release store of `k` pairs with the reader's
// acquire load; without it a reader could match the key and read a rule of 0.
// A signal handler that interrupts a writer finds kBusy and computes the rule.

#ifndef INSTAR_STACK_INTERNAL_RULE_CACHE_H_
#define INSTAR_STACK_INTERNAL_RULE_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stack/internal/frame_rule.h"

namespace instar {
namespace stack_internal {

// A rule of kind kFromRsp, kFromRbp or kOutermost in 64 bits: the kind in bits
// 0 to 3, an eighth of rbp_offset in bits 4 to 31, cfa_offset in bits 32 to 63.
class PackedRule {
 public:
  constexpr PackedRule() = default;
  constexpr explicit PackedRule(std::uint64_t bits) : bits_(bits) {}
  constexpr PackedRule(RuleKind kind, std::int32_t cfa_offset,
                       std::int32_t rbp_offset)
      : bits_(
            static_cast<std::uint64_t>(kind) |
            ((static_cast<std::uint64_t>(
                  static_cast<std::uint32_t>(rbp_offset / 8)) &
              0xfffffffu)
             << 4) |
            (static_cast<std::uint64_t>(static_cast<std::uint32_t>(cfa_offset))
             << 32)) {}

  constexpr std::uint64_t bits() const { return bits_; }
  constexpr RuleKind kind() const { return static_cast<RuleKind>(bits_ & 0xf); }
  constexpr std::int64_t cfa_offset() const {
    return static_cast<std::int64_t>(bits_) >> 32;
  }
  constexpr std::int64_t rbp_offset() const {
    return std::int64_t{static_cast<std::int32_t>(bits_) >> 4} * 8;
  }

 private:
  std::uint64_t bits_ = 0;
};

// CFA = rbp + 16, the caller's rbp saved at the CFA - 16.
constexpr PackedRule kFramePointerRule(RuleKind::kFromRbp, 16, -16);

struct CachedRule {
  std::atomic<std::uint64_t> key;
  std::atomic<std::uint64_t> rule;
};

constexpr int kCacheBits = 14;  // 16,384 entries, 256 KiB
constexpr int kCacheProbes = 8;
constexpr std::uint64_t kBusy = std::uint64_t{1} << 63;
constexpr std::uint64_t kExact = std::uint64_t{1} << 62;

// A program counter (below 2^47 in user space) at which a computation goes on,
// `is_exact`, or a return address, whose rule is that of the call before it.
constexpr std::uint64_t CacheKey(std::uintptr_t pc, bool is_exact) {
  return pc | (is_exact ? kExact : 0);
}

// The last probes lie behind the table's end.
extern CachedRule rule_cache[(1 << kCacheBits) + kCacheProbes];

inline std::size_t CacheSlot(std::uint64_t key) {
  return (key * std::uint64_t{0x9e3779b97f4a7c15}) >> (64 - kCacheBits);
}

// The rule for `key`; of kind kNone if it is not there.
inline PackedRule FindCachedRule(std::uint64_t key) {
  const CachedRule* entry = &rule_cache[CacheSlot(key)];
  for (int i = 0; i < kCacheProbes; ++i, ++entry) {
    const std::uint64_t found = entry->key.load(std::memory_order_acquire);
    if (__builtin_expect(found == key, true)) {
      return PackedRule(entry->rule.load(std::memory_order_relaxed));
    }
    if (found == 0) break;
  }
  return PackedRule();
}

// Keeps the rule of the code at `pc` if its kind has a packed form and the code
// is never unloaded. Does nothing when there is no room. A rule of kind
// kOutermost must be that of a base that is known.
void CacheRule(std::uintptr_t pc, bool is_exact, const FrameRule& rule);

// Whether the code at `pc` is never unloaded. Lock-free, async-signal-safe.
bool IsNeverUnloaded(std::uintptr_t pc);

}  // namespace stack_internal
}  // namespace instar

#endif  // INSTAR_STACK_INTERNAL_RULE_CACHE_H_

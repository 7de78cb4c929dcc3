// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/internal/rule_cache.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/fork_mutex.h"
#include "base/linux/loaded_objects.h"
#include "stack/stack_walker.h"

namespace instar {
namespace stack_internal {

CachedRule rule_cache[(1 << kCacheBits) + kCacheProbes];

namespace {

struct Range {
  std::uintptr_t start;
  std::uintptr_t end;
};

constexpr int kMaxRanges = 1024;

// Ranges [0, range_count) are final. The release store of range_count pairs
// with the acquire load in IsNeverUnloaded(): a reader that sees the count sees
// the ranges.
Range ranges[kMaxRanges];
std::atomic<int> range_count{0};

// Held while a range is added: one that a thread of the parent was about to add
// is not there in a child.
ForkMutex g_ranges;

void AddRange(const Range& range) {
  std::lock_guard<ForkMutex> lock(g_ranges);
  const int count = range_count.load(std::memory_order_relaxed);
  for (int i = 0; i < count; ++i) {
    if (ranges[i].start == range.start) return;
  }
  if (count == kMaxRanges) return;  // it is walked more slowly, no more
  ranges[count] = range;
  range_count.store(count + 1, std::memory_order_release);
}

struct LoadedObject {
  std::vector<Range> code;
  std::string name;
  std::vector<std::string> needed;
};

std::string BaseName(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

std::vector<LoadedObject> LoadedObjects() {
  std::vector<LoadedObject> objects;
  ForEachLoadedObject(
      [](dl_phdr_info* info, std::size_t, void* argument) {
        auto* objects = static_cast<std::vector<LoadedObject>*>(argument);
        LoadedObject object{{}, BaseName(info->dlpi_name), {}};
        const ElfW(Dyn)* dynamic = nullptr;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          const std::uintptr_t start = info->dlpi_addr + segment.p_vaddr;
          if (segment.p_type == PT_DYNAMIC) {
            dynamic = reinterpret_cast<const ElfW(Dyn)*>(start);
          } else if (segment.p_type == PT_LOAD &&
                     (segment.p_flags & PF_X) != 0) {
            object.code.push_back({start, start + segment.p_memsz});
          }
        }
        const char* strings = nullptr;
        for (const ElfW(Dyn)* d = dynamic; d && d->d_tag != DT_NULL; ++d) {
          if (d->d_tag == DT_STRTAB) {
            std::uintptr_t at = d->d_un.d_ptr;
            // The vdso's are not relocated.
            if (at < info->dlpi_addr) at += info->dlpi_addr;
            strings = reinterpret_cast<const char*>(at);
          }
        }
        for (const ElfW(Dyn)* d = dynamic; strings && d->d_tag != DT_NULL;
             ++d) {
          if (d->d_tag == DT_NEEDED) {
            object.needed.push_back(strings + d->d_un.d_val);
          } else if (d->d_tag == DT_SONAME) {
            object.name = strings + d->d_un.d_val;
          }
        }
        objects->push_back(std::move(object));
        return 0;
      },
      &objects);
  return objects;
}

// The first object is the program.
void AddProgramAndItsLibraries() {
  const std::vector<LoadedObject> objects = LoadedObjects();
  if (objects.empty()) return;
  std::vector<bool> reached(objects.size(), false);
  std::vector<std::size_t> pending = {0};
  reached[0] = true;
  while (!pending.empty()) {
    const LoadedObject& object = objects[pending.back()];
    pending.pop_back();
    for (const Range& range : object.code) AddRange(range);
    for (std::size_t i = 0; i < objects.size(); ++i) {
      if (reached[i]) continue;
      for (const std::string& needed : object.needed) {
        if (BaseName(needed.c_str()) == objects[i].name) {
          reached[i] = true;
          pending.push_back(i);
          break;
        }
      }
    }
  }
}

// Before main: a walk then needs no preparation. (Before that, and in other
// constructors, rules are computed each time.)
__attribute__((constructor(101))) void AddBeforeMain() {
  AddProgramAndItsLibraries();
}

// ThreadSanitizer does not see that ld.so had written all of this before it let
// any thread run code of the object.
__attribute__((no_sanitize("thread"))) bool IsMarkedNoDelete(
    const link_map* map) {
  for (const ElfW(Dyn)* entry = map->l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_FLAGS_1) {
      return (entry->d_un.d_val & DF_1_NODELETE) != 0;
    }
  }
  return false;
}

}  // namespace

bool IsNeverUnloaded(std::uintptr_t pc) {
  const int count = range_count.load(std::memory_order_acquire);
  for (int i = 0; i < count; ++i) {
    if (pc >= ranges[i].start && pc < ranges[i].end) return true;
  }
  dl_find_object object;
  return _dl_find_object(reinterpret_cast<void*>(pc), &object) == 0 &&
         IsMarkedNoDelete(object.dlfo_link_map);
}

void CacheRule(std::uintptr_t pc, bool is_exact, const FrameRule& rule) {
  if (rule.kind != RuleKind::kFromRsp && rule.kind != RuleKind::kFromRbp &&
      rule.kind != RuleKind::kOutermost) {
    return;
  }
  if (pc >= kExact || !IsNeverUnloaded(pc - (is_exact ? 0 : 1))) return;
  const std::uint64_t key = CacheKey(pc, is_exact);
  CachedRule* entry = &rule_cache[CacheSlot(key)];
  for (int i = 0; i < kCacheProbes; ++i, ++entry) {
    std::uint64_t found = entry->key.load(std::memory_order_relaxed);
    if (found == 0 && entry->key.compare_exchange_strong(
                          found, key | kBusy, std::memory_order_relaxed)) {
      entry->rule.store(
          PackedRule(rule.kind, rule.cfa_offset, rule.rbp_offset).bits(),
          std::memory_order_relaxed);
      entry->key.store(key, std::memory_order_release);
      return;
    }
    // Another thread has it, or soon will.
    if ((found & ~kBusy) == key) return;
  }
}

}  // namespace stack_internal

void DeclareNeverUnloaded(const void* address) {
  using stack_internal::Range;
  const auto pc = reinterpret_cast<std::uintptr_t>(address);
  for (const auto& object : stack_internal::LoadedObjects()) {
    for (const Range& found : object.code) {
      if (pc < found.start || pc >= found.end) continue;
      for (const Range& range : object.code) stack_internal::AddRange(range);
      return;
    }
  }
  INSTAR_FATAL() << address << " is no code of a loaded object";
}

}  // namespace instar

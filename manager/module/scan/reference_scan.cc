// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/reference_scan.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/linux/deadline.h"
#include "base/linux/own_descriptor.h"
#include "base/linux/tasks.h"
#include "manager/module/scan/mapping_kind.h"
#include "stack/interrupted_thread.h"
#include "stack/stack_snapshot.h"

namespace instar {
namespace manager_internal {
namespace {

// Of x86-64: elsewhere nothing is scanned (WordSearch::kKnowsLibc).
constexpr std::size_t kPage = 4096;
constexpr std::size_t kBuffer = 256 * 1024;
constexpr std::size_t kWord = sizeof(std::uintptr_t);
// Pages whose state is read at once.
constexpr std::size_t kPages = 512;
// Bits of /proc/self/pagemap (proc(5)).
constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
constexpr std::uint64_t kSwapped = std::uint64_t{1} << 62;
constexpr std::uint64_t kOfFile = std::uint64_t{1} << 61;
// How long threads are waited for, and how often those that started meanwhile
// are looked for.
constexpr std::chrono::milliseconds kHoldLimit(50);
constexpr int kRounds = 10;

bool IsSwapUsed() {
  struct sysinfo system;
  return sysinfo(&system) != 0 || system.freeswap != system.totalswap;
}

// What functions have left on the stack that have returned.
__attribute__((noinline)) void WipeStackBelow() {
  char room[48 * 1024];
  explicit_bzero(room, sizeof(room));
}

// The part of the stretch in front of the first of these ranges; `next` is
// where it goes on after that. Empty if it begins in one.
template <typename Ranges, typename RangeOf>
AddressRange InFrontOf(AddressRange stretch, const Ranges& ranges,
                       RangeOf range_of, std::uintptr_t& next) {
  next = stretch.end;
  AddressRange part = stretch;
  for (const auto& one : ranges) {
    const AddressRange range = range_of(one);
    if (range.begin >= range.end) continue;
    if (range.begin <= stretch.begin && stretch.begin < range.end) {
      next = std::min(range.end, stretch.end);
      return {stretch.begin, stretch.begin};
    }
    if (stretch.begin < range.begin && range.begin < part.end) {
      part.end = range.begin;
      next = part.end;
    }
  }
  return part;
}

}  // namespace

ReferenceScan::ReferenceScan(AddressRange object)
    : object_(object), words_(object), buffer_(kBuffer) {
  LeaveOut(object);
  const auto buffer = reinterpret_cast<std::uintptr_t>(buffer_.data());
  LeaveOut({buffer, buffer + kBuffer});
}

void ReferenceScan::Look(std::uint64_t begin, std::uint64_t end) {
  parts_.push_back({begin, end});
}

void ReferenceScan::LeaveOut(AddressRange memory) {
  left_out_.push_back(memory);
}

bool ReferenceScan::Leads(std::uintptr_t address) const {
  const std::uintptr_t offset = WordSearch::AddressIn(address) - object_.begin;
  return std::any_of(parts_.begin(), parts_.end(), [offset](const Part& part) {
    return part.begin <= offset && offset < part.end;
  });
}

// Of memory that is not left out; at most as much as the buffer has room for.
ReferenceScan::End ReferenceScan::ScanBytes(AddressRange stretch) {
  for (std::uintptr_t at = stretch.begin; at < stretch.end;) {
    const ssize_t got = pread(memory_, buffer_.data(), stretch.end - at,
                              static_cast<off_t>(at));
    if (got <= 0) {
      // It has been unmapped; or lies behind the end of its file.
      if (is_held_ && !may_end_early_) {
        place_ = at;
        return End::kUnreadable;
      }
      at = (at / kPage + 1) * kPage;
      continue;
    }
    const auto size = static_cast<std::size_t>(got);
    std::size_t from = 0;
    while (const auto match = words_.Find(buffer_.data(), size, at, from)) {
      if (Leads(match->value)) {
        // Not an address: this may be found by the next scan.
        word_ = *match;
        word_.value -= object_.begin;
        place_ = at + match->at;
        return End::kWord;
      }
      from = match->at + 1;
    }
    at += size;
  }
  return End::kNothing;
}

ReferenceScan::End ReferenceScan::ScanStretch(AddressRange stretch,
                                              Clock::time_point until) {
  while (stretch.begin < stretch.end) {
    std::uintptr_t next;
    AddressRange part = InFrontOf(
        stretch, left_out_, [](const AddressRange& range) { return range; },
        next);
    if (part.begin < part.end) {
      part = InFrontOf(
          part, stacks_,
          [this](const UnusedStacks::Stack& stack) {
            return is_held_ ? stack.unused
                            : AddressRange{stack.bounds.low, stack.bounds.high};
          },
          next);
    }
    while (part.begin < part.end) {
      const std::uintptr_t end = std::min(part.end, part.begin + kBuffer);
      const End result = ScanBytes({part.begin, end});
      if (result != End::kNothing) return result;
      if (Clock::now() > until) return End::kTooLong;
      // A word may lie across the end of the buffer.
      part.begin = end == part.end ? end : end - kWord;
    }
    stretch.begin = next;
  }
  return End::kNothing;
}

template <typename IsWanted>
ReferenceScan::End ReferenceScan::ScanPages(const Mapping& mapping,
                                            std::uintptr_t at,
                                            std::size_t count,
                                            IsWanted is_wanted,
                                            Clock::time_point until) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_wanted(i)) continue;
    std::uintptr_t begin = at + i * kPage;
    // A word may begin in the page before.
    if (begin == at && at != mapping.low && goes_on_) begin -= kWord - 1;
    while (i < count && is_wanted(i)) ++i;
    const End result = ScanStretch({begin, at + i * kPage}, until);
    if (result != End::kNothing) return result;
  }
  goes_on_ = is_wanted(count - 1);
  return End::kNothing;
}

ReferenceScan::End ReferenceScan::ScanPrivate(const Mapping& mapping,
                                              Clock::time_point until) {
  std::uint64_t state[kPages];
  for (std::uintptr_t at = mapping.low; at < mapping.high;
       at += kPages * kPage) {
    if (Clock::now() > until) return End::kTooLong;
    const std::size_t count =
        std::min<std::size_t>(kPages, (mapping.high - at) / kPage);
    const std::size_t wanted = count * sizeof(state[0]);
    const bool is_known =
        pagemap_ >= 0 &&
        pread(pagemap_, state, wanted, static_cast<off_t>(at / kPage * 8)) ==
            static_cast<ssize_t>(wanted);
    // Pages that nobody has written have nothing but what is in the file.
    const auto is_written = [&](std::size_t page) {
      return !is_known || ((state[page] & (kPresent | kSwapped)) != 0 &&
                           (state[page] & kOfFile) == 0);
    };
    const End result = ScanPages(mapping, at, count, is_written, until);
    if (result != End::kNothing) return result;
  }
  return End::kNothing;
}

ReferenceScan::End ReferenceScan::ScanShared(const Mapping& mapping,
                                             bool is_huge,
                                             Clock::time_point until) {
  unsigned char state[kPages];
  for (std::uintptr_t at = mapping.low; at < mapping.high;
       at += kPages * kPage) {
    if (Clock::now() > until) return End::kTooLong;
    const std::size_t count =
        std::min<std::size_t>(kPages, (mapping.high - at) / kPage);
    place_ = at;
    if (mincore(reinterpret_cast<void*>(at), count * kPage, state) != 0) {
      if (is_held_) return End::kUnreadable;
      continue;  // it has been unmapped
    }
    const auto is_in_memory = [&](std::size_t page) {
      return (state[page] & 1) != 0;
    };
    const End result = ScanPages(mapping, at, count, is_in_memory, until);
    if (result != End::kNothing) return result;
    // What is not is not read, or it would be made. Either nobody has written
    // it, or it has been swapped out; of huge pages another process may have.
    bool is_complete = true;
    for (std::size_t i = 0; i < count; ++i) {
      is_complete = is_complete && is_in_memory(i);
    }
    if (!is_complete && (is_huge || IsSwapUsed())) return End::kNotSeen;
  }
  return End::kNothing;
}

ReferenceScan::End ReferenceScan::ScanMapping(const Mapping& mapping,
                                              Clock::time_point until) {
  const MappingKind kind = KindOf(mapping);
  // Its file may be shorter.
  may_end_early_ = mapping.shared;
  switch (kind) {
    case MappingKind::kPrivate:
      return ScanPrivate(mapping, until);
    case MappingKind::kShared:
    case MappingKind::kSharedHuge:
      return ScanShared(mapping, kind == MappingKind::kSharedHuge, until);
    case MappingKind::kFile:
      return ScanStretch({mapping.low, mapping.high}, until);
    case MappingKind::kUnreadable:
      place_ = mapping.low;
      return End::kUnreadable;
    case MappingKind::kProbes:
      return End::kProbed;
    case MappingKind::kNothing:
      break;
  }
  return End::kNothing;
}

ReferenceScan::End ReferenceScan::ScanAll(bool is_held,
                                          Clock::time_point until) {
  is_held_ = is_held;
  const auto by_kernel = FindKernelReference(
      [this](std::uintptr_t address) { return Leads(address); }, until);
  if (by_kernel.has_value()) {
    by_kernel_ = *by_kernel;
    by_kernel_.value = WordSearch::AddressIn(by_kernel->value) - object_.begin;
    return by_kernel->kind == KernelReference::Kind::kTooLong ? End::kTooLong
                                                              : End::kByKernel;
  }
  End result = End::kNothing;
  const bool is_listed = VisitMappings([&](const Mapping& mapping) {
    result = ScanMapping(mapping, until);
    return result == End::kNothing;
  });
  return is_listed || result != End::kNothing ? result : End::kUnlisted;
}

const char* ReferenceScan::Hold(InterruptedThreads& threads) {
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  bool is_complete = false;
  for (int round = 0; round < kRounds && !is_complete; ++round) {
    is_complete = true;
    bool has_room = true;
    const bool is_listed = VisitTasks([&](pid_t tid) {
      if (tid == self || threads.Find(tid) != nullptr) return true;
      is_complete = false;
      return has_room = threads.Add(tid);
    });
    if (!is_listed || !has_room) return "its threads cannot be listed";
    if (is_complete) break;
    if (!threads.Hold(kHoldLimit)) {
      return "its threads cannot be held: another one holds threads";
    }
    for (const InterruptedThreads::Thread& thread : threads) {
      if (thread.state != InterruptedThreads::State::kHeld &&
          thread.state != InterruptedThreads::State::kEnded) {
        return "one of its threads takes no signal, so that its registers are "
               "not seen";
      }
    }
  }
  if (!is_complete) return "it starts threads faster than they can be held";
  return nullptr;
}

std::string ReferenceScan::WhereIsWord() const {
  if (word_.is_mangled) {
    return "what libc is to call later (atexit(), a destructor of a "
           "thread_local variable, or setjmp())";
  }
  for (const UnusedStacks::Stack& stack : stacks_) {
    if (!stack.bounds.Contains(place_)) continue;
    char name[32] = "";
    ReadTaskFile(stack.tid, "comm", name, sizeof(name));
    name[std::strcspn(name, "\n")] = '\0';
    return absl::StrCat("the stack or a thread_local variable of thread ",
                        stack.tid, " (", name, ")");
  }
  std::string in = "memory";
  VisitMappings([&](const Mapping& mapping) {
    if (!mapping.Contains(place_)) return true;
    if (mapping.path == "[heap]") {
      in = "the heap";
    } else if (mapping.path == "[stack]") {
      in = "the stack of the first thread";
    } else if (!mapping.path.empty()) {
      in = absl::StrCat("variables of ", mapping.path);
    }
    return false;
  });
  return absl::StrFormat("%s, at %#x", in, place_);
}

Reference ReferenceScan::Found(End end,
                               std::chrono::nanoseconds longest_hold) const {
  const auto because = [](std::string why) {
    return Reference{std::nullopt, std::move(why)};
  };
  switch (end) {
    case End::kWord:
      return {word_.value, WhereIsWord()};
    case End::kByKernel:
      if (!by_kernel_.has_address()) return because(by_kernel_.ToString());
      return {by_kernel_.value, by_kernel_.ToString()};
    case End::kTooLong:
      return because(absl::StrFormat(
          "to look through its memory, its threads would have to be held for "
          "more than %d ms",
          std::chrono::ceil<std::chrono::milliseconds>(longest_hold).count()));
    case End::kUnreadable:
    case End::kNotSeen: {
      std::string name = "some";
      VisitMappings([&](const Mapping& mapping) {
        if (!mapping.Contains(place_)) return true;
        if (!mapping.path.empty()) name = std::string(mapping.path);
        return false;
      });
      return because(absl::StrFormat(
          "%s: %s, at %#x",
          end == End::kUnreadable
              ? "memory of it cannot be read"
              : "shared memory of it may be swapped out or of other processes",
          name, place_));
    }
    case End::kProbed:
      return because(
          "it has been probed (uprobes), so that where its functions return to "
          "may not be seen");
    case End::kUnlisted:
    case End::kNothing:
      break;
  }
  return because("its memory cannot be listed");
}

std::optional<Reference> ReferenceScan::RunOnThisStack(
    std::chrono::nanoseconds longest_hold) {
  const auto kept = [](std::string why) {
    return Reference{std::nullopt, std::move(why)};
  };
  if (!WordSearch::kKnowsLibc) {
    return kept("on this processor it is not known how libc keeps addresses");
  }
  const OwnDescriptor memory(
      open("/proc/thread-self/mem", O_RDONLY | O_CLOEXEC));
  const OwnDescriptor pagemap(
      open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC));
  // Those that there are now: a program may close descriptors while it runs.
  const auto has_memory = [&] {
    memory_ = memory.number();
    pagemap_ = pagemap.number();
    return memory_ >= 0;
  };
  constexpr char kNoMemory[] = "its memory cannot be read (/proc/self/mem)";
  if (!has_memory()) return kept(kNoMemory);
  if (!InterruptionSignal().ok()) return kept("no signal is free to hold it");
  own_stack_ = StackOfThisThread();
  LeaveOut({own_stack_.low, own_stack_.high});

  std::size_t count = 0;
  VisitTasks([&](pid_t) { return ++count, true; });
  stacks_.Reserve(2 * count + 64);
  const char* why = nullptr;
  bool has_room = false;
  // Where their stacks are; they go on at once.
  {
    InterruptedThreads threads;
    why = Hold(threads);
    has_room = why != nullptr ||
               stacks_.Note(threads, memory_, DeadlineAfter(longest_hold));
  }
  if (why != nullptr) return kept(why);
  if (!has_room) return kept("it starts threads all the time");
  End end = ScanAll(/*is_held=*/false, DeadlineAfter(longest_hold));
  if (end != End::kNothing) return Found(end, longest_hold);
  {
    InterruptedThreads threads;
    why = Hold(threads);
    if (why == nullptr) {
      const Clock::time_point until = DeadlineAfter(longest_hold);
      if (!has_memory()) why = kNoMemory;
      has_room = stacks_.Note(threads, memory_, until);
      if (why == nullptr && has_room) end = ScanAll(/*is_held=*/true, until);
    }
  }
  if (why != nullptr) return kept(why);
  if (!has_room) return kept("it starts threads all the time");
  if (end != End::kNothing) return Found(end, longest_hold);
  return std::nullopt;
}

std::optional<Reference> ReferenceScan::Run(
    std::chrono::nanoseconds longest_hold) {
  std::optional<Reference> found = RunOnThisStack(longest_hold);
  WipeStackBelow();
  return found;
}

}  // namespace manager_internal
}  // namespace instar

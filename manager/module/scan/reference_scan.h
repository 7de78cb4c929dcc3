// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether anything in this process still leads into a loaded object: looks at
// all memory that can have been written, at the registers of all threads, and
// at what the kernel keeps for the program. Internal to manager/module.
//
//   ReferenceScan scan({begin, end});
//   scan.Look(0x1000, 0x3000);                 // what matters of it
//   scan.LeaveOut({record_begin, record_end}); // what is known, and harmless
//   std::optional<Reference> found = scan.Run(milliseconds(100));
//
// It is conservative, as a garbage collector that knows no types: a number that
// looks like an address of the object counts as one
// (manager/module/scan/word_search.h). What it looks at:
//   - private memory that has been written, whatever its protection, and
//     shared memory that this process may have written
//     (manager/module/scan/mapping_kind.h);
//   - the stacks of threads, with their registers, which are saved there when a
//     thread is held; without what is certainly not in use of them
//     (manager/module/scan/unused_stacks.h);
//   - what the kernel keeps (manager/module/scan/kernel_references.h).
// Not: the object itself, the stack of the calling thread, and what the dynamic
// linker knows of the object. What cannot be seen counts as a reference.
//
// It looks twice. The first time threads run on; what is found then is reason
// enough. The second time all are held, by a signal: for about as long as the
// first time took, and no longer than is allowed.
//
// Threads: one, of the library's own: nothing of the program may be on its
// stack. Allocates nothing while threads are held.

#ifndef INSTAR_MANAGER_MODULE_SCAN_REFERENCE_SCAN_H_
#define INSTAR_MANAGER_MODULE_SCAN_REFERENCE_SCAN_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/linux/maps.h"
#include "base/linux/stack_bounds.h"
#include "base/wiped.h"
#include "manager/module/near_place.h"
#include "manager/module/scan/kernel_references.h"
#include "manager/module/scan/unused_stacks.h"
#include "manager/module/scan/word_search.h"
#include "stack/interrupted_threads.h"

namespace instar {
namespace manager_internal {

struct Reference {
  // How far from the object's first byte it leads; nothing if the reason is
  // another one.
  std::optional<std::uint64_t> offset;
  // Where it was found, or why it is not known: a phrase.
  std::string where;
};

class ReferenceScan {
 public:
  explicit ReferenceScan(AddressRange object);
  ReferenceScan(const ReferenceScan&) = delete;
  ReferenceScan& operator=(const ReferenceScan&) = delete;

  // A part of the object that somebody could use: how far from its first byte.
  // (Addresses of it would be found where the caller has them.)
  void Look(std::uint64_t begin, std::uint64_t end);
  // Memory in which addresses of it mean nothing.
  void LeaveOut(AddressRange memory);

  // Nothing: nothing leads into it. `longest_hold`: of the threads. What it has
  // found is on the stack no more when it returns: the next scan may see that.
  std::optional<Reference> Run(std::chrono::nanoseconds longest_hold);

 private:
  using Clock = std::chrono::steady_clock;
  enum class End {
    kNothing,
    kWord,      // word_ at place_
    kByKernel,  // by_kernel_
    kTooLong,
    kUnreadable,  // the memory at place_
    kNotSeen,     // shared memory at place_, unless it has never been written
    kProbed,
    kUnlisted,
  };

  std::optional<Reference> RunOnThisStack(
      std::chrono::nanoseconds longest_hold);
  bool Leads(std::uintptr_t address) const;
  End ScanAll(bool is_held, Clock::time_point until);
  End ScanMapping(const Mapping& mapping, Clock::time_point until);
  End ScanPrivate(const Mapping& mapping, Clock::time_point until);
  End ScanShared(const Mapping& mapping, bool is_huge, Clock::time_point until);
  // Those of its pages from `at` on for which is_wanted(number) is true. In
  // order.
  template <typename IsWanted>
  End ScanPages(const Mapping& mapping, std::uintptr_t at, std::size_t count,
                IsWanted is_wanted, Clock::time_point until);
  End ScanStretch(AddressRange stretch, Clock::time_point until);
  End ScanBytes(AddressRange stretch);
  // All threads but this one. A phrase that says why not; null: they are held.
  const char* Hold(InterruptedThreads& threads);
  std::string WhereIsWord() const;
  Reference Found(End end, std::chrono::nanoseconds longest_hold) const;

  const AddressRange object_;
  const WordSearch words_;
  struct Part {
    std::uint64_t begin;
    std::uint64_t end;
  };
  std::vector<Part> parts_;
  std::vector<AddressRange> left_out_;
  UnusedStacks stacks_;
  StackBounds own_stack_;
  WipedVector<char> buffer_;  // it has a copy of what has been looked at
  int memory_ = -1;           // /proc/thread-self/mem
  int pagemap_ = -1;          // -1: it cannot be read
  bool is_held_ = false;
  // Of the mapping that is looked at: its file may be shorter than it.
  bool may_end_early_ = false;
  // Of it: the page before those that are looked at next is one that was.
  bool goes_on_ = false;

  std::uintptr_t place_ = 0;
  // Their values are how far from the object's first byte they lead.
  WordSearch::Match word_ = {};
  KernelReference by_kernel_ = {};
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_SCAN_REFERENCE_SCAN_H_

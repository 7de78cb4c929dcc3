// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which threads a rendezvous interrupts, and which may stay so. Internal to
// this package.
//
//   static const UnsafeCode& unsafe = UnsafeCode::Get();  // before anyone is
//   const FunctionMap map = FunctionMap::Preload();       // held
//   ... interrupt ...
//   if (!MayStayInterrupted(snapshot, map, unsafe)) ...  // let it go
//
// A thread may stay where it waits in a system call and owns no lock that
// whoever applies an update may need: of the allocator, the dynamic linker, or
// what changes the set of threads or processes or a signal mask. The allocator
// is what the process allocates by, whatever its name: the object that defines
// malloc() or operator new, in any form. In such an object of its own no frame
// may lie, but for its own threads while they wait for work; in libc, libstdc++
// and the program it is a matter of the function.

#ifndef INSTAR_THREADS_INTERNAL_MAY_STAY_INTERRUPTED_H_
#define INSTAR_THREADS_INTERNAL_MAY_STAY_INTERRUPTED_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "code/symbols/function.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/thread_record.h"

namespace instar {
namespace threads_internal {

// What allocates in this process. Immutable.
class UnsafeCode {
 public:
  // Looked for at the first call, which takes locks of the dynamic linker.
  static const UnsafeCode& Get();

  // Whether this object allocates, and is there for nothing else.
  bool IsAllocator(absl::string_view image) const;
  // Whether the program itself defines what allocates.
  bool program_allocates() const { return program_allocates_; }

 private:
  UnsafeCode();

  std::vector<std::string> allocators_;
  bool program_allocates_ = false;
};

// True if the interrupted thread is in a system call, all its frames are known,
// and none is unsafe; nor does a sanitizer make the call. Code of libc is known
// by the exported function that the program called, which its frame tells, or
// the call. Takes no lock and allocates nothing; for a few microseconds.
bool MayStayInterrupted(const StackSnapshot& stack, const FunctionMap& map,
                        const UnsafeCode& unsafe);

// The same of a thread that was stopped at any instruction.
bool OwnsNoLockOfAllocator(const StackSnapshot& stack, const FunctionMap& map,
                           const UnsafeCode& unsafe);

// With record.lock held. Whether it is worth while to interrupt the thread:
// each time costs it a system call that returns EINTR. Not where it runs, nor
// where it may not stay, until a pause is over that grows each time. Takes no
// other lock and allocates nothing.
bool MayBeInterrupted(const ThreadRecord& record);
// With record.lock held: the thread may not stay where it was interrupted.
void NoteRefusal(ThreadRecord& record, const StackSnapshot& where);
// The same if it did not take the signal: it was not run, or blocks it.
void NoteNotTaken(ThreadRecord& record);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_MAY_STAY_INTERRUPTED_H_

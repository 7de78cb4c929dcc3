// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Writes code bytes of the running program, in batches, while other threads may
// be executing them.
//
//   CodeLock lock;
//   INSTAR_RETURN_IF_ERROR(PrepareToWriteCode(lock));
//   ...
//   INSTAR_RETURN_IF_ERROR(
//       WriteEntries(lock, changes, count, OtherThreads::kRunning));
//
// All writing goes through /proc/self/mem (code/internal/own_memory.h), which
// ignores page protection: text is never writable and executable at once, and
// is never left writable. What was written is read back: what is not there is a
// failure.
//
// A batch has three phases: a trap (int3) over the first byte of each entry,
// the other four bytes, the first byte. After each, every core that runs a
// thread of the process serializes (membarrier(2), PRIVATE_EXPEDITED_SYNC_CORE;
// Intel SDM volume 3, section "Handling Self- and Cross-Modifying Code"). There
// is one write per page and phase. A thread that runs into a trap goes on at
// the entry's `trap_resume`, its target before the batch.
//
// Refused before anything is changed:
//   - /proc/self/mem cannot be opened or written, or membarrier(2)
//     is not there;
//   - a thread blocks SIGTRAP, and cannot be traced: the kernel would kill the
//     process at the first trap. Where the kernel allows it, such threads are
//     stopped for the time of the batch (base/linux/traced_threads.h). (A thread
//     that blocks it later, while the batch runs, and then enters one of its
//     functions is not seen.);
//   - the process is traced: unless the debugger is told otherwise, it would
//     stop at each trap. instar_patch_while_traced (code/internal/thread_survey.h) says
//     that it has been told;
//   - somebody else's int3 stands at one of the entries.
// With one thread, or with kHeld, nobody can run into a trap: none is written,
// and neither signals nor tracers matter.
//
// A trap is handled on the stack that the thread has at the time, so that a
// small sigaltstack(2) of a thread does no harm. One on which a handler of the
// program runs needs room for a second signal (getauxval(AT_MINSIGSTKSZ)) if
// that handler enters updatable functions.
//
// If a write or a barrier fails half way, the old bytes are written back in the
// same three phases. If that fails again and again too (absl::StatusCode
// kDataLoss), each entry is either as it was, or holds its trap and leads where
// it led before, slowly, or is complete and leads to its new target; every
// later batch is refused.
//
// fork() waits for a batch to end, and the child opens a file of its own when
// it needs one: that of the parent would write into the parent.

#ifndef INSTAR_CODE_INTERNAL_TEXT_PATCH_H_
#define INSTAR_CODE_INTERNAL_TEXT_PATCH_H_

#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "base/library_code.h"
#include "code/internal/entry_record.h"
#include "code/internal/other_threads.h"

namespace instar {

namespace code_internal {

// Held by whoever changes code or records of entries; one in the process. No
// signal is handled while it is held, except those that a fault causes: a
// handler that called fork(), or changed code, would wait for its own thread.
class CodeLock {
 public:
  CodeLock();
  ~CodeLock();
  CodeLock(const CodeLock&) = delete;
  CodeLock& operator=(const CodeLock&) = delete;

 private:
  const LibraryCode library_code_;
  sigset_t saved_mask_;
};

struct EntryChange {
  EntryRecord* record;
  unsigned char bytes[kEntrySize];
  unsigned char old_bytes[kEntrySize];  // filled in by WriteEntries()
  // The entry still consists of one-byte no-ops, so that threads may stand
  // between them: they are driven out first. (Not seen is a thread that was
  // interrupted there by a signal whose handler is still running.)
  bool single_byte_no_ops;
};

// Opens /proc/self/mem, registers for the barrier and installs the SIGTRAP
// handler, as far as that has not been done. Allocates on first use.
absl::Status PrepareToWriteCode(const CodeLock& lock);

// Changes the entries, which are different and in ascending order, all or none.
// Each `record->target` is where threads that arrive meanwhile continue; the
// caller sets it to the new one afterwards. Allocates nothing; the text of an
// error is put aside where it must not (base/error_text.h).
absl::Status WriteEntries(const CodeLock& lock, EntryChange* changes,
                          size_t count, OtherThreads others);

// Writes bytes that no thread executes yet.
absl::Status WriteUnusedCode(const CodeLock& lock, uintptr_t address,
                             const void* bytes, size_t size);

// Where this file asks the kernel for something that tests let fail.
struct TextPatchCalls {
  ssize_t (*write_at)(int file, const void* bytes, size_t size,
                      uintptr_t address);
  int (*serialize)();
};

// Replaces the calls while it lives. For tests.
class ScopedTextPatchCalls {
 public:
  explicit ScopedTextPatchCalls(const TextPatchCalls& calls);
  ~ScopedTextPatchCalls();
  ScopedTextPatchCalls(const ScopedTextPatchCalls&) = delete;
  ScopedTextPatchCalls& operator=(const ScopedTextPatchCalls&) = delete;

  static const TextPatchCalls& Real();
};

// Forgets that traps stayed in the text, once a test has removed their cause
// and written the entries itself.
void ForgetStuckTrapsForTesting(const CodeLock& lock);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_TEXT_PATCH_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// While an EntryInterception is alive, entering an updatable function first
// calls the interceptor of the thread that enters it.
//
//   ScopedEntryInterceptor interceptor([](const InterceptedEntry& entry) {
//     ... look at the stack from entry.caller(), wait, throw ...
//   });                                          // in each thread concerned
//
//   {
//     INSTAR_ASSIGN_OR_RETURN(EntryInterception interception,
//                             EntryInterception::OfAll());
//     ...
//   }                                            // as before, byte for byte
//
// An interceptor that is given a word is called only while that is not zero, so
// that a thread of which nothing is wanted goes on as one without interceptor.
// A gate is called by every thread that enters given functions, those without
// an interceptor too: WithGate(). And entries can be made to look up where
// their functions lead without that anyone is called, so that a redirection
// needs to change no code: WithLookup().
//
// The interceptor runs on the thread's stack, in place of the function that was
// about to begin. When it returns, the function begins with the arguments as
// they came (integer, floating-point and vector registers of any width), and if
// it has been redirected meanwhile, its new version begins. An exception thrown
// by the interceptor unwinds the caller; the function has never begun.
//
// The interceptor is not called
//   - in a thread that has none, which goes on after 10 ns or so;
//   - for functions that the interceptor itself calls;
//   - inside of a signal handler, as far as the stack can be walked;
//   - for functions that another thread enters while the entries are being
//     patched: interception has begun when OfAll() or Of() has returned.
//
// Which functions are intercepted: those with a patchable entry and external
// linkage that are neither `inline` nor a template nor a destructor, as the
// dynamic symbol table says (link the program with -rdynamic). Of the others,
// callers may have been compiled in the knowledge that they do not throw, and
// an exception would pass a caller without running its destructors. The same is
// true of a function that is declared `noexcept`, which nothing tells from
// others at run time: ask //stack:unwind_safety before throwing.
//
// Errors: those of code/function_entry.h. FailedPrecondition if a given
// function is none of those above.
//
// Threads: any thread may make and destroy interceptions; several may be alive
// at once. Neither in a signal handler. A ScopedEntryInterceptor belongs to the
// thread that made it. Memory: an intercepted entry needs about 3.5 KiB of
// stack besides what the interceptor uses (with AVX-512; 1.5 KiB without): the
// smallest stack of a continulet has room for it. What OfAll() and Preload()
// find in an image they remember, so that the next OfAll() only writes (10,000
// entries: 0.5 ms). After fork(), nobody is called in the child: its entries
// are restored, or, where that cannot be (the process has changed its user or
// its root), say so on standard error and lead on after some ns.
//
// Loops of the program that have update points (docs/loop_update_points.md)
// look at instar_loop_attention: it is not zero while an interception of all
// entries is alive. Who it is for finds out there.
//
// Not done: entries of objects that are loaded while an interception is alive
// are not intercepted by it. A longjmp() out of an interceptor leaves its
// thread without interception.

#ifndef INSTAR_CODE_ENTRY_INTERCEPTION_H_
#define INSTAR_CODE_ENTRY_INTERCEPTION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "code/internal/other_threads.h"
#include "code/symbols/function.h"

// Read by tools/loop_update_points, as an int, and by nobody else. Relaxed: a
// value that is seen late is seen in the next round.
extern "C" std::atomic<int> instar_loop_attention;

namespace instar {

// The registers from which the caller's stack can be walked: as they will be
// when the intercepted function has returned.
struct CallerRegisters {
  uintptr_t return_address;
  uintptr_t stack_pointer;  // also the canonical frame address of the callee
  uintptr_t frame_pointer;
  uintptr_t rbx, r12, r13, r14, r15;  // of x86-64, which alone has entries
};

// What an interceptor is told. Valid while it runs.
class InterceptedEntry {
 public:
  InterceptedEntry(uintptr_t function, const CallerRegisters& caller)
      : function_(function), caller_(caller) {}

  // The entry of the function that is about to begin.
  uintptr_t function() const { return function_; }
  const CallerRegisters& caller() const { return caller_; }

 private:
  uintptr_t function_;
  CallerRegisters caller_;
};

using EntryInterceptor = std::function<void(const InterceptedEntry&)>;

// Called as an interceptor is, with two differences: it throws nothing, and it
// is called in signal handlers, too, so it must be async-signal-safe until it
// knows that it is in none. For a moment after the end of its interception it
// may be called still.
using EntryGate = void (*)(const InterceptedEntry&);

// Whether the caller runs in a signal handler, as far as the stack can be
// walked. Takes 0.1 us a frame. Async-signal-safe.
bool RunsInSignalHandler();

// Gives the calling thread an interceptor while it lives. They nest: the one
// made last is called.
class ScopedEntryInterceptor {
 public:
  // `wanted`: see above; null means always. It outlives the interceptor.
  explicit ScopedEntryInterceptor(
      EntryInterceptor interceptor,
      const std::atomic<uint32_t>* wanted = nullptr);
  ~ScopedEntryInterceptor();
  ScopedEntryInterceptor(const ScopedEntryInterceptor&) = delete;
  ScopedEntryInterceptor& operator=(const ScopedEntryInterceptor&) = delete;

 private:
  static void Set(const EntryInterceptor* interceptor, const uint32_t* wanted);

  const EntryInterceptor interceptor_;
  const EntryInterceptor* const before_;
  const uint32_t* const wanted_before_;
};

class EntryInterception {
 public:
  // Of all functions of the images that are loaded now.
  static absl::StatusOr<EntryInterception> OfAll(
      OtherThreads others = OtherThreads::kRunning);
  // Of these functions.
  static absl::StatusOr<EntryInterception> Of(
      absl::Span<const Function> functions,
      OtherThreads others = OtherThreads::kRunning);
  // Of these functions, whatever their linkage: in every thread `gate` is
  // called, after an interceptor that another interception calls. A function
  // has one gate at a time: FailedPrecondition if it has another.
  static absl::StatusOr<EntryInterception> WithGate(
      absl::Span<const Function> functions, EntryGate gate,
      OtherThreads others = OtherThreads::kRunning);

  // Of these functions, whatever their linkage, and nobody is called: their
  // entries look up where they lead. A Redirection (code/function_entry.h) of
  // them that is applied or undone meanwhile changes no code and takes effect
  // by a store, which is what may be wanted while threads are held. A call
  // takes some ns more.
  static absl::StatusOr<EntryInterception> WithLookup(
      absl::Span<const Function> functions,
      OtherThreads others = OtherThreads::kRunning);

  // The same as OfAll() in two parts: what is prepared has no effect until
  // Start(), which allocates nothing (base/error_text.h). Without effect the
  // second time.
  static absl::StatusOr<EntryInterception> PrepareAll();
  absl::Status Start(OtherThreads others = OtherThreads::kRunning);

  // Finds out what OfAll() needs to know, so that it only writes.
  static absl::Status Preload();

  EntryInterception(EntryInterception&&) noexcept;
  // Exchanges the two.
  EntryInterception& operator=(EntryInterception&&) noexcept;
  // Ends the interception. If the entries cannot be restored, which Stop()
  // would have told, that is said on standard error and they stay intercepted:
  // calls work, and cost 10 ns more.
  ~EntryInterception();

  // Ends the interception. After an error it goes on, and Stop() may be called
  // again. Without effect the second time, and in a child of fork().
  absl::Status Stop(OtherThreads others = OtherThreads::kRunning);

  size_t size() const;  // the number of entries that are intercepted

 private:
  friend class EntryInterceptionBuilder;
  friend class EntryInterceptionRegistry;
  struct State;
  explicit EntryInterception(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace instar

#endif  // INSTAR_CODE_ENTRY_INTERCEPTION_H_

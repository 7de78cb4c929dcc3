// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Redirects functions of the running program: every call of the one, by name,
// by pointer or through a vtable taken before, reaches the other.
//
//   INSTAR_ASSIGN_OR_RETURN(Redirection redirection,
//                           Redirect(&DoCommand, &NewDoCommand));
//   ...
//   INSTAR_RETURN_IF_ERROR(redirection.Undo());
//
// Many at once, all or none, with everything that can be checked or allocated
// done before:
//
//   const EntryRedirection both[] = {{old_f, new_f_address},
//                                    {old_g, new_g_address}};
//   INSTAR_ASSIGN_OR_RETURN(Redirection update, Redirection::Prepare(both));
//   ... stop the threads ...
//   INSTAR_RETURN_IF_ERROR(update.Apply(OtherThreads::kHeld));
//
// The five bytes of the function's entry (code/internal/patchable_entries.h)
// become a jump. The body behind them stays, and Original() calls it, so that a
// new version can wrap the old one. A second redirection of the same function
// replaces the first, and undoing the latest brings back the one before; one
// that is not the latest may be undone too. A redirected function may itself be
// what another one is redirected to.
//
// A call that begins after Apply() has returned (happens after it, in the sense
// of the C++ memory model) reaches the new function; one that runs at the same
// time reaches the new or the one before, never an older one. Activations that
// had begun stay in the old body.
//
// Errors, all before anything is changed:
//   Unimplemented       on this processor functions have no entries
//                       (code/entries_here.h): use a Redefinable
//   FailedPrecondition  no patchable entry (the remedy: updatable_cc_library);
//                       inlined copies in other functions than those of the
//                       batch, or clones that callers reach past the entry;
//                       what code/internal/text_patch.h refuses (SIGTRAP blocked,
//                       traced)
//   InvalidArgument     a function twice, a target that is no code of a loaded
//                       image, or that leads back to the function itself
//   PermissionDenied    /proc/self/mem cannot be written
// Whether a write that failed half way could be undone:
// code/internal/text_patch.h.
//
// Threads: everything may be called from any thread, for different Redirection
// objects at the same time; not in a signal handler. Apply() and Undo()
// allocate nothing and take no lock of the program, unless they fail. The
// images of both functions stay loaded from then on (but PrepareAt()).

#ifndef INSTAR_CODE_FUNCTION_ENTRY_H_
#define INSTAR_CODE_FUNCTION_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "base/wiped.h"
#include "code/internal/other_threads.h"
#include "code/symbols/function.h"

namespace instar {

struct EntryRedirection {
  Function from;
  uintptr_t to;  // the address of the code to run instead
};

struct RedirectionOptions {
  // Redirect functions although copies of them were inlined elsewhere, or may
  // have been: those go on as they are.
  bool ignore_inlined_copies = false;
};

// The same of a function that is known by its entry alone, so that no file is
// read; its inlined copies are the caller's business.
struct AddressRedirection {
  uintptr_t from;
  uintptr_t to;
  std::string name;  // of `from`, for messages
  // The image of `from` may be unloaded some time: the caller keeps it loaded,
  // too, and calls ForgetImage() before that.
  bool from_may_go = false;
};

// Any number of redirections that take effect, and are undone, as one. Dropping
// it leaves them in effect.
class Redirection {
 public:
  // Checks and allocates; nothing is changed before Apply().
  static absl::StatusOr<Redirection> Prepare(
      absl::Span<const EntryRedirection> redirections,
      RedirectionOptions options = {});
  // The images of the new functions are kept loaded by the caller, for as long
  // as it is applied and a thread may be in one.
  static absl::StatusOr<Redirection> PrepareAt(
      absl::Span<const AddressRedirection> redirections);

  Redirection(Redirection&&) noexcept;
  Redirection& operator=(Redirection&&) noexcept;
  ~Redirection();

  // prepared -> applied. Otherwise a check fails.
  absl::Status Apply(OtherThreads others = OtherThreads::kRunning);

  // applied -> prepared. Otherwise a check fails. Refuses (FailedPrecondition)
  // if the functions would then lead round in a circle, because of redirections
  // made since.
  absl::Status Undo(OtherThreads others = OtherThreads::kRunning);

  bool is_applied() const;

 private:
  struct State;
  static absl::StatusOr<Redirection> Make(
      absl::Span<const AddressRedirection> redirections);
  explicit Redirection(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// The address that the function at this entry is redirected to, or 0.
uintptr_t RedirectedTo(const Function& function);

// Every address that it was ever redirected to, each once, the newest first;
// redirections that were replaced or undone included, for activations of them
// may still be on stacks. Allocates.
WipedVector<uintptr_t> AllRedirectionTargets(const Function& function);
// Of each of several, by one look.
std::vector<WipedVector<uintptr_t>> AllRedirectionTargets(
    absl::Span<const Function> functions);

// Of all functions, added up. While it stays, so does what
// AllRedirectionTargets() answers of each.
std::uint64_t RedirectionTargetCount();

// What there is of an image that lies in [begin, end) and is to be unloaded:
// redirections to its functions, and of them.
//
// Error: FailedPrecondition, with how many there are, if one is in effect, or
// if a function of the image is intercepted.
absl::Status CheckUnused(uintptr_t begin, uintptr_t end);
// Where this library's memory has addresses of it all the same.
std::vector<std::pair<uintptr_t, uintptr_t>> MemoryAbout(uintptr_t begin,
                                                         uintptr_t end);
// That there ever was one is forgotten. No thread is in the image any more.
void ForgetImage(uintptr_t begin, uintptr_t end);

// Prepares and applies one redirection. Of an overloaded function, give the
// type: Redirect<int(double)>(&Round, &NewRound).
template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
absl::StatusOr<Redirection> Redirect(F* from, std::common_type_t<F*> to);

// A member function by another one of its class, or by a function that takes
// the object as its first argument. A virtual one by what objects of exactly
// this class run.
template <typename C, typename F,
          std::enable_if_t<std::is_function_v<F>, int> = 0>
absl::StatusOr<Redirection> Redirect(F C::*from, std::common_type_t<F C::*> to);
template <typename R, typename C, typename... A>
absl::StatusOr<Redirection> Redirect(R (C::*from)(A...), R (*to)(C*, A...));
template <typename R, typename C, typename... A>
absl::StatusOr<Redirection> Redirect(R (C::*from)(A...) const,
                                     R (*to)(const C*, A...));

// The function as it was compiled, whatever it is redirected to. A check fails
// if it has no patchable entry. A member function gives a function that takes
// the object first.
template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
F* Original(F* function);
template <typename R, typename C, typename... A>
auto Original(R (C::*function)(A...)) -> R (*)(C*, A...);
template <typename R, typename C, typename... A>
auto Original(R (C::*function)(A...) const) -> R (*)(const C*, A...);

// Implementation.

namespace code_internal {

absl::StatusOr<Redirection> RedirectOne(const Function& from, uintptr_t to);
uintptr_t OriginalAddress(const absl::StatusOr<Function>& function);

}  // namespace code_internal

template <typename F, std::enable_if_t<std::is_function_v<F>, int>>
absl::StatusOr<Redirection> Redirect(F* from, std::common_type_t<F*> to) {
  INSTAR_ASSIGN_OR_RETURN(const Function function, Function::Of(from));
  return code_internal::RedirectOne(function, reinterpret_cast<uintptr_t>(to));
}

template <typename C, typename F, std::enable_if_t<std::is_function_v<F>, int>>
absl::StatusOr<Redirection> Redirect(F C::*from,
                                     std::common_type_t<F C::*> to) {
  INSTAR_ASSIGN_OR_RETURN(const Function function, Function::Of(from));
  INSTAR_ASSIGN_OR_RETURN(const Function target, Function::Of(to));
  return code_internal::RedirectOne(function, target.entry());
}

template <typename R, typename C, typename... A>
absl::StatusOr<Redirection> Redirect(R (C::*from)(A...), R (*to)(C*, A...)) {
  INSTAR_ASSIGN_OR_RETURN(const Function function, Function::Of(from));
  return code_internal::RedirectOne(function, reinterpret_cast<uintptr_t>(to));
}

template <typename R, typename C, typename... A>
absl::StatusOr<Redirection> Redirect(R (C::*from)(A...) const,
                                     R (*to)(const C*, A...)) {
  INSTAR_ASSIGN_OR_RETURN(const Function function, Function::Of(from));
  return code_internal::RedirectOne(function, reinterpret_cast<uintptr_t>(to));
}

template <typename F, std::enable_if_t<std::is_function_v<F>, int>>
F* Original(F* function) {
  return reinterpret_cast<F*>(
      code_internal::OriginalAddress(Function::Of(function)));
}

template <typename R, typename C, typename... A>
auto Original(R (C::*function)(A...)) -> R (*)(C*, A...) {
  return reinterpret_cast<R (*)(C*, A...)>(
      code_internal::OriginalAddress(Function::Of(function)));
}

template <typename R, typename C, typename... A>
auto Original(R (C::*function)(A...) const) -> R (*)(const C*, A...) {
  return reinterpret_cast<R (*)(const C*, A...)>(
      code_internal::OriginalAddress(Function::Of(function)));
}

}  // namespace instar

#endif  // INSTAR_CODE_FUNCTION_ENTRY_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What fibers of Boost.Context, Boost.Fiber and Boost.Coroutine2 are made of,
// for continuation/foreign_stacks.h. For programs that have Boost.

#ifndef INSTAR_CONTINUATION_INTERNAL_BOOST_FCONTEXT_H_
#define INSTAR_CONTINUATION_INTERNAL_BOOST_FCONTEXT_H_

#include <atomic>
#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "continuation/foreign_stacks.h"

namespace instar {
namespace continuation_internal {

// Where a context keeps the frame pointer, counted in words. The program
// counter follows, and there the context ends.
#if defined(__x86_64__)
// It has changed with Boost's versions, so it is looked up: a new context keeps
// its function in the word before.
inline std::size_t PlaceOfFramePointer() {
  // No guard of a static, which a child of fork() might find taken for good.
  static std::atomic<std::size_t> known{0};
  std::size_t place = known.load(std::memory_order_relaxed);
  if (place != 0) return place;
  place = [] {
    alignas(64) char stack[1024];
    void (*const function)(boost::context::detail::transfer_t) =
        [](boost::context::detail::transfer_t) {};
    const auto* const words = static_cast<const std::uintptr_t*>(
        boost::context::detail::make_fcontext(stack + sizeof(stack),
                                              sizeof(stack), function));
    std::size_t i = 0;
    while (i < 9 && words[i] != reinterpret_cast<std::uintptr_t>(function)) ++i;
    INSTAR_CHECK(i < 9) << "contexts of this Boost are not understood";
    return i + 1;
  }();
  known.store(place, std::memory_order_relaxed);
  return place;
}
inline constexpr std::size_t kWordsFromFramePointer = 2;
#elif defined(__aarch64__)
// Behind d8 to d15 and x19 to x28. x30 stands twice: the second one is where
// the context goes on.
inline std::size_t PlaceOfFramePointer() { return 18; }
inline constexpr std::size_t kWordsFromFramePointer = 4;
#else
#error "contexts of Boost are not known here on this processor"
#endif

}  // namespace continuation_internal

// Of what jump_fcontext() gave for a context that is paused; it lies in [low,
// high), `high` being where the stack began when the context was made.
// Allocates nothing, and takes no lock but the first time.
inline PausedContext PausedFcontext(boost::context::detail::fcontext_t fcontext,
                                    std::uintptr_t low, std::uintptr_t high) {
  PausedContext paused = RunningStack(low, high);
  const auto* const saved = static_cast<const std::uintptr_t*>(fcontext) +
                            continuation_internal::PlaceOfFramePointer();
  paused.fp = saved[0];
  paused.pc = saved[1];
  paused.sp = reinterpret_cast<std::uintptr_t>(
      saved + continuation_internal::kWordsFromFramePointer);
  return paused;
}

}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_BOOST_FCONTEXT_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Shadow data of plain objects end with the memory of these, in a program that
// is linked with this:
//
//   static_assert(instar::kReleasesAtFree);   // some source of it includes this
//
// It defines free(), realloc() and reallocarray(), which end what is attached
// to the address that they are given (DetachShadows(), heap/shadow/shadow.h)
// and go on to those of the allocator. C++'s operator delete calls free(). So
// of an object that malloc() or new made, what is attached ends when that is
// freed, wherever that is; after its destructors.
//
// What it does not see:
//   - objects that do not lie at the begin of what was allocated: members,
//     elements of arrays and containers
//   - objects whose memory is kept for others: by a pool of the program, a
//     free list, std::optional, a container that has room
//   - what libc allocates and frees for itself, and an allocator whose operator
//     delete does not call free(): tcmalloc's and jemalloc's, linked statically
//   - memory that is freed without a call: a stack, an arena, munmap()
// realloc() ends what is attached, whether or not the block moves.
//
// It is a decision of who builds the program, since an update cannot make it:
// free() has no entry that could be redefined. Each call of free() costs a
// nanosecond more, and a look at the tables if something has been attached to
// an address that looks alike (one of 65,536 kinds).
//
// Threads: any.

#ifndef INSTAR_HEAP_SHADOW_RELEASE_AT_FREE_H_
#define INSTAR_HEAP_SHADOW_RELEASE_AT_FREE_H_

namespace instar {

inline constexpr bool kReleasesAtFree = true;

}  // namespace instar

#endif  // INSTAR_HEAP_SHADOW_RELEASE_AT_FREE_H_

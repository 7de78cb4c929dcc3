// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a module can lie that has to be within 2 GiB of what it refers to: its
// code reaches the target's functions and variables by displacements of 32
// bits, as the compiler wrote them.
//
// Threads: any. Whatever is free may be taken by another thread before it is
// used: whoever maps something there looks where it came to lie.

#ifndef INSTAR_MANAGER_MODULE_NEAR_PLACE_H_
#define INSTAR_MANAGER_MODULE_NEAR_PLACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace instar {
namespace manager_internal {

struct AddressRange {
  std::uintptr_t begin;
  std::uintptr_t end;
};

// The stretches of this process's address space in which nothing is mapped, by
// address.
std::vector<AddressRange> FreeRanges();

struct Room {
  std::uint64_t size;       // bytes, whole pages
  std::uint64_t alignment;  // a power of two
};

// A place for `room` in one of the `free` ranges: all of it within reach of all
// of each of `near`; below the first of these, out of the way of the heap,
// which grows above a program, if there is room, else as high above it as can
// be. Not in one of `taken`, of which somebody has said that they are not free
// after all. 0: there is none.
std::uintptr_t ChoosePlace(absl::Span<const AddressRange> free,
                           absl::Span<const AddressRange> near, Room room,
                           absl::Span<const AddressRange> taken);

// The error of an object that lies elsewhere than it wished though its place is
// free: the dynamic linker of glibc before 2.36 does not look at wishes in a
// program that is position-independent. Names what helps.
absl::Status WishNotTaken(absl::string_view glibc_version);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_NEAR_PLACE_H_

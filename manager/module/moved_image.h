// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Moves a shared object, which was linked at address 0, to another address, in
// its file's bytes: as if it had been linked there.
//
//   INSTAR_RETURN_IF_ERROR(CheckMovable(image));
//   std::string bytes = image.bytes();
//   MoveTo(image, base, bytes);
//
// glibc takes the address of a shared object's first segment as a wish, so that
// a copy that was moved lies at `base` when it is loaded, if that is free and
// the dynamic linker does take wishes (manager/module/near_place.h); it adds
// nothing to its addresses then (l_addr is 0). If it lies elsewhere it is whole
// nevertheless.
//
// Moved is what the dynamic linker reads: program headers, dynamic section,
// dynamic symbols, dynamic relocations. Sections, .symtab and debug information
// stay as they are: debuggers find by the dynamic section how far the two are
// apart. Segments are aligned by 4 KiB, whatever they were: for more, glibc
// first reserves more room than the object has, at the same place, where there
// may be none; whoever chooses the place sees to the alignment.

#ifndef INSTAR_MANAGER_MODULE_MOVED_IMAGE_H_
#define INSTAR_MANAGER_MODULE_MOVED_IMAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "manager/module/elf_image.h"

namespace instar {
namespace manager_internal {

// What is moved is smaller than that.
inline constexpr std::uint64_t kMaxMoved = std::uint64_t{1} << 31;  // bytes

// Error: InvalidArgument, a phrase that goes on after "it ".
absl::Status CheckMovable(const ElfImage& image);

// The room that it takes, from address 0 on, and by what it is to be aligned.
std::uint64_t SizeInMemory(const ElfImage& image);
std::uint64_t AlignmentInMemory(const ElfImage& image);

// `bytes` are those of the image, which can be moved; others than those that
// are moved may have been changed. `base` is a multiple of its alignment.
void MoveTo(const ElfImage& image, std::uint64_t base, std::string& bytes);

// What the dynamic linker reads of the image, and what it relocates.
std::vector<ElfImage::Range> RangesOfDynamicLinker(const ElfImage& image);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_MOVED_IMAGE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The patchable entries of the program and of every shared object it has
// loaded: the functions whose first five bytes can be replaced.
//
//   INSTAR_ASSIGN_OR_RETURN(auto entries, PatchableEntries::Current());
//   if (!entries->Contains(function.entry())) ...
//
// `updatable_cc_library` compiles with -fpatchable-function-entry=5, which puts
// five one-byte no-ops (0x90) at the start of each function. An entry is a
// function start listed in the .eh_frame_hdr of a loaded image at which they
// stand (Linux Standard Base 5.0, 10.6.2); stripped images have it too. The
// section __patchable_function_entries is not used: it names functions that the
// linker has discarded.
//
// Each entry found is rewritten to one five-byte no-op, so that no thread can
// ever stand in the middle of it: those of the program and the objects that it
// is linked with before main(), those of objects loaded later at the next call
// of Current(). That is safe while threads run (code/internal/text_patch.h).
// Entries that have the five-byte no-op in the file, as those of update modules
// do (tools/finish_update_module.py), are found too and need no rewriting.
//
// Threads: may be called from any thread. Current() takes locks and allocates,
// so it is no function to call while threads are held. A PatchableEntries is
// immutable.

#ifndef INSTAR_CODE_INTERNAL_PATCHABLE_ENTRIES_H_
#define INSTAR_CODE_INTERNAL_PATCHABLE_ENTRIES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/wiped.h"

namespace instar {

struct PatchableImage {
  std::string path;         // as the dynamic linker knows it; "" is the program
  uintptr_t load_base = 0;  // what is added to the addresses of the file
  // The addresses from the image's first byte to before its end.
  uintptr_t begin = 0;
  uintptr_t end = 0;
  // Another one for each image that was ever noticed, and after an unloading
  // for all but the program.
  uint64_t number = 0;
  // In ascending order; may be empty. They live as long as this or a copy.
  absl::Span<const uintptr_t> entries;
  std::shared_ptr<const WipedVector<uintptr_t>> owner;
};

class PatchableEntries {
 public:
  // Of the images that are loaded now. Looks only at those that were loaded
  // since the last call, or at all if one was unloaded; about a microsecond if
  // there is nothing new.
  // Errors: those of code/internal/text_patch.h, if entries must be rewritten
  // and cannot be. Nothing is changed then, and the next call tries again.
  static absl::StatusOr<std::shared_ptr<const PatchableEntries>> Current();

  // In the order in which they were loaded, the program first. Images without
  // entries are listed too.
  absl::Span<const PatchableImage> images() const { return images_; }

  // The image that contains the address, or null.
  const PatchableImage* ImageAt(uintptr_t address) const;

  // Whether a patchable entry starts at this address.
  bool Contains(uintptr_t entry) const;

  size_t size() const;  // the number of entries in all images

 private:
  friend class PatchableEntriesScan;

  std::vector<PatchableImage> images_;
  size_t listed_ = 0;  // how many objects the dynamic linker had
};

}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_PATCHABLE_ENTRIES_H_

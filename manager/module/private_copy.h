// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A shared object that is loaded from a copy of its own in memory, which lives
// as long as it is loaded and leaves nothing behind, however the process ends.
// Its file may be overwritten meanwhile, and may be loaded again, as another
// object.
//
// In the copy the object's static initializers are taken out of the dynamic
// linker's hands: they run by Initialize(), so that one that throws harms
// nobody. (An exception that travels through dlopen() leaves the lock of the
// dynamic linker taken for good.) Other changes are the caller's: patches.
//
// The dynamic linker knows the object as /proc/PID/task/TID/fd/N, with as many
// dots and slashes in it as make the name one that no other object has had.
// Once it is loaded, N leads to the file that was copied, for debuggers, until
// the PrivateCopy is destroyed: one descriptor of the process for each, and
// none for what stays loaded after that.
//
// Or it is loaded near what it refers to (manager/module/near_place.h), from a
// copy that was moved to where it lies (manager/module/moved_image.h). Nothing
// but this copy has its fields bound, those of the debug information included:
// the copy is what debuggers are to find. It can be a file with a name of its
// own; if not, its descriptor stays open for as long as it is loaded.
//
// Threads: each PrivateCopy by one at a time.

#ifndef INSTAR_MANAGER_MODULE_PRIVATE_COPY_H_
#define INSTAR_MANAGER_MODULE_PRIVATE_COPY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/linux/own_descriptor.h"
#include "manager/module/elf_image.h"
#include "manager/module/file_descriptor.h"
#include "manager/module/kept_file.h"
#include "manager/module/near_place.h"

namespace instar {
namespace manager_internal {

struct Patch {
  std::size_t offset;  // in the image's bytes
  std::string bytes;
};

// What a module that lies near others consists of.
struct NearContents {
  // Those that it refers to; the first is the one that it is put next to.
  std::vector<AddressRange> images;
  // The contents of its file, if it is to lie there: the image's bytes, with
  // its fields bound, not moved.
  std::function<absl::StatusOr<std::string>(std::uintptr_t base)> contents;
  // How the path of its file begins and ends, while it is loaded
  // (manager/module/kept_file.h); empty: it is in memory alone.
  std::string path_begin;
  std::string path_end;
};

// Called between the choice of a place and the loading; for tests.
extern void (*between_choice_and_load_for_test)(std::uintptr_t base);

class PrivateCopy {
 public:
  // Loads `image`, which was read from `original`, by RTLD_NOW and RTLD_LOCAL.
  // None of its own code has run when this returns, except resolvers of
  // indirect functions (IFUNC).
  // Errors: FailedPrecondition, with what the dynamic linker says.
  static absl::StatusOr<PrivateCopy> Load(
      const ElfImage& image, absl::Span<const Patch> patches,
      std::shared_ptr<const FileDescriptor> original);

  // The same near others, of an image that can be moved. If another thread
  // takes the place that was free, another one is chosen.
  // Errors: also ResourceExhausted if there is no room, and FailedPrecondition
  // if the dynamic linker does not take wishes (WishNotTaken()).
  static absl::StatusOr<PrivateCopy> LoadNear(
      const ElfImage& image, absl::Span<const Patch> patches,
      std::shared_ptr<const FileDescriptor> original, const NearContents& near);

  PrivateCopy(PrivateCopy&& other) noexcept;
  PrivateCopy& operator=(PrivateCopy&& other) noexcept;
  // Unloads it, unless KeepLoaded() was called; destructors of what was
  // initialized run. Closes its file in any case.
  ~PrivateCopy();

  // Runs the static initializers, once. Error: Aborted if one throws; those
  // after it have not run.
  absl::Status Initialize(const ElfImage& image);

  // From now on it stays loaded when this is gone, until UnloadKept().
  void KeepLoaded() { is_kept_ = true; }

  // Unloads the one of this name that stayed loaded, and removes its file.
  // Nothing leads into it any more. False while the dynamic linker keeps it.
  static bool UnloadKept(const std::string& name);

  // Whether the dynamic linker has an object of this name loaded.
  static bool IsLoaded(const std::string& name);

  // What is to be added to the addresses of the image that was given.
  std::uintptr_t load_base() const { return load_base_; }
  void* handle() const { return handle_; }  // for dlsym()
  // By which the dynamic linker knows it. No other object has had it.
  const std::string& name() const { return name_; }
  // That of its file; empty: it has none.
  const std::string& path() const { return kept_file_.path(); }

 private:
  struct Remainder;

  PrivateCopy() = default;

  // Loads what is in this file, which becomes file_.
  absl::Status Open(FileDescriptor copy, const FileDescriptor& original,
                    std::uintptr_t moved_by);
  // Loads the file of the name name_.
  absl::Status OpenByName(const FileDescriptor& original,
                          std::uintptr_t moved_by);
  bool Unload();  // false: it is still loaded

  // A place where no copy has been loaded before, if there is one: what is left
  // of the addresses of one that was unloaded, in memory that was freed, does
  // not lead into another one then.
  static std::uintptr_t ChooseUnused(absl::Span<const AddressRange> near,
                                     const Room& room,
                                     absl::Span<const AddressRange> taken);
  static void NoteUsed(AddressRange place);

  static Remainder& TheRemainder();
  static void ForgetLingering();

  std::string name_;  // what the dynamic linker calls it
  OwnDescriptor file_;
  KeptFile kept_file_;
  OwnDescriptor original_;  // of one that was moved: where its symbols are
  void* handle_ = nullptr;  // null: moved from
  std::uintptr_t load_base_ = 0;
  bool is_moved_ = false;
  bool is_kept_ = false;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_PRIVATE_COPY_H_

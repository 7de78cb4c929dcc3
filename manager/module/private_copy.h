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
// Threads: each PrivateCopy by one at a time.

#ifndef INSTAR_MANAGER_MODULE_PRIVATE_COPY_H_
#define INSTAR_MANAGER_MODULE_PRIVATE_COPY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/linux/own_descriptor.h"
#include "manager/module/elf_image.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace manager_internal {

struct Patch {
  std::size_t offset;  // in the image's bytes
  std::string bytes;
};

class PrivateCopy {
 public:
  // Loads `image`, which was read from `original`, by RTLD_NOW and RTLD_LOCAL.
  // None of its own code has run when this returns, except resolvers of
  // indirect functions (IFUNC).
  // Errors: FailedPrecondition, with what the dynamic linker says.
  static absl::StatusOr<PrivateCopy> Load(
      const ElfImage& image, absl::Span<const Patch> patches,
      std::shared_ptr<const FileDescriptor> original);

  PrivateCopy(PrivateCopy&& other) noexcept;
  PrivateCopy& operator=(PrivateCopy&& other) noexcept;
  // Unloads it, unless KeepLoaded() was called; destructors of what was
  // initialized run. Closes its file in any case.
  ~PrivateCopy();

  // Runs the static initializers, once. Error: Aborted if one throws; those
  // after it have not run.
  absl::Status Initialize(const ElfImage& image);

  // From now on it is never unloaded.
  void KeepLoaded() { is_kept_ = true; }

  std::uintptr_t load_base() const { return load_base_; }
  void* handle() const { return handle_; }  // for dlsym()

 private:
  struct Remainder;

  PrivateCopy() = default;

  static Remainder& TheRemainder();
  static void ForgetLingering();

  std::string name_;  // what the dynamic linker calls it
  OwnDescriptor file_;
  void* handle_ = nullptr;  // null: moved from
  std::uintptr_t load_base_ = 0;
  bool is_kept_ = false;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_PRIVATE_COPY_H_

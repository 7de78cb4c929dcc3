// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/private_copy.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/forced_unwind.h"
#include "base/status_macros.h"
#include "base/wiped.h"
#include "code/symbols/images/image_copy.h"
#include "manager/module/moved_image.h"
#include "manager/module/near_place.h"

namespace instar {
namespace manager_internal {
namespace {

using Initializer = void (*)(int argc, char** argv, char** environment);

// What the dynamic linker gives to static initializers; it gave it to ours.
int argument_count = 0;
char** arguments = nullptr;
char** environment = nullptr;

__attribute__((constructor)) void RememberArguments(int argc, char** argv,
                                                    char** env) {
  argument_count = argc;
  arguments = argv;
  environment = env;
}

absl::Status WriteAt(int file, std::size_t offset, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t length =
        pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "its copy in memory cannot be written: ", std::strerror(errno)));
    }
    offset += static_cast<std::size_t>(length);
    bytes.remove_prefix(static_cast<std::size_t>(length));
  }
  return absl::OkStatus();
}

// `bytes` are those of the image, or of what was made of it.
absl::Status FillCopy(int file, const ElfImage& image, absl::string_view bytes,
                      absl::Span<const Patch> patches) {
  INSTAR_RETURN_IF_ERROR(WriteAt(file, 0, bytes));
  for (const Patch& patch : patches) {
    INSTAR_RETURN_IF_ERROR(WriteAt(file, patch.offset, patch.bytes));
  }
  // No static initializers for the dynamic linker: an array of no elements,
  // and an entry that means nothing to it.
  const Elf64_Xword none = 0;
  if (const auto size = image.OffsetOfDynamicValue(DT_INIT_ARRAYSZ)) {
    INSTAR_RETURN_IF_ERROR(WriteAt(
        file, *size, {reinterpret_cast<const char*>(&none), sizeof(none)}));
  }
  if (const auto value = image.OffsetOfDynamicValue(DT_INIT)) {
    const Elf64_Sxword debug = DT_DEBUG;
    INSTAR_RETURN_IF_ERROR(
        WriteAt(file, *value - offsetof(Elf64_Dyn, d_un),
                {reinterpret_cast<const char*>(&debug), sizeof(debug)}));
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> WriteCopy(const ElfImage& image,
                                         absl::string_view bytes,
                                         absl::Span<const Patch> patches) {
  FileDescriptor copy(memfd_create("instar update module", MFD_CLOEXEC));
  if (copy.number() < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("memfd_create() fails: ", std::strerror(errno),
                     "; allow this process to make files in memory (sysctl "
                     "vm.memfd_noexec, seccomp, the limit of open files)"));
  }
  INSTAR_RETURN_IF_ERROR(FillCopy(copy.number(), image, bytes, patches));
  return copy;
}

// Of loading near others: as often as other threads may be faster.
constexpr int kMostAttempts = 8;

// How many objects have been loaded.
std::atomic<unsigned> serials{0};

// A path of this descriptor that no object has had before: those that are
// loaded are told apart by their names, and numbers are used again. The process
// as /proc knows it, which may be in another namespace than we; and this
// thread, since the first one may have ended.
std::string NewPath(int file) {
  char self[64];
  const ssize_t length = readlink("/proc/thread-self", self, sizeof(self));
  std::string path = absl::StrCat(
      "/proc/", length <= 0 ? "thread-self" : absl::string_view(self, length),
      "/fd");
  for (unsigned serial = ++serials; serial != 0; serial /= 2) {
    path += serial % 2 != 0 ? "/." : "/";
  }
  return absl::StrCat(path, "/", file);
}

// Where this file lies now.
std::string PathOf(int file) {
  char path[PATH_MAX];
  const ssize_t length = readlink(
      absl::StrCat("/proc/thread-self/fd/", file).c_str(), path, sizeof(path));
  return length <= 0 ? "a module" : std::string(path, length);
}

// Another open file of the same contents where that can be had: those that are
// ours are told apart by what the kernel keeps with the open file.
int OpenAgain(int file) {
  const int again = open(absl::StrCat("/proc/thread-self/fd/", file).c_str(),
                         O_RDONLY | O_CLOEXEC);
  return again >= 0 ? again : fcntl(file, F_DUPFD_CLOEXEC, 0);
}

}  // namespace

// Objects that outlive their PrivateCopy. Never destroyed.
struct PrivateCopy::Remainder {
  std::mutex mutex;
  std::vector<PrivateCopy> kept;
  // Unloaded, but destructors of thread-local variables, for one, hold them a
  // while longer.
  std::vector<PrivateCopy> lingering;
  // Where copies were loaded near something, the latest last.
  std::vector<AddressRange> used;
};

PrivateCopy::Remainder& PrivateCopy::TheRemainder() {
  static Remainder& remainder = *new Remainder;
  return remainder;
}

void PrivateCopy::ForgetLingering() {
  Remainder& remainder = TheRemainder();
  std::lock_guard<std::mutex> lock(remainder.mutex);
  const auto gone =
      std::remove_if(remainder.lingering.begin(), remainder.lingering.end(),
                     [](PrivateCopy& copy) {
                       // The first time, dlclose() may find that nothing holds
                       // it any more.
                       if (IsLoaded(copy.name_) && IsLoaded(copy.name_))
                         return false;
                       code_internal::ForgetImageCopy(copy.name_);
                       copy.handle_ = nullptr;
                       return true;
                     });
  remainder.lingering.erase(gone, remainder.lingering.end());
}

absl::Status PrivateCopy::Open(FileDescriptor copy,
                               const FileDescriptor& original,
                               std::uintptr_t moved_by) {
  // Above the numbers that the program comes to, which may be closed by it.
  file_ = OwnDescriptor(copy.Release());
  name_ = NewPath(file_.number());
  return OpenByName(original, moved_by);
}

absl::Status PrivateCopy::OpenByName(const FileDescriptor& original,
                                     std::uintptr_t moved_by) {
  code_internal::DeclareImageCopy(
      name_, {original.number(), PathOf(original.number()), moved_by});
  void* const handle = dlopen(name_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const error = dlerror();
    absl::string_view reason = error == nullptr ? "dlopen() fails" : error;
    if (absl::StartsWith(reason, name_)) reason.remove_prefix(name_.size());
    if (absl::StartsWith(reason, ": ")) reason.remove_prefix(2);
    code_internal::ForgetImageCopy(name_);
    return absl::FailedPreconditionError(reason);
  }
  handle_ = handle;
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0) load_base_ = map->l_addr;
  return absl::OkStatus();
}

absl::StatusOr<PrivateCopy> PrivateCopy::Load(
    const ElfImage& image, absl::Span<const Patch> patches,
    std::shared_ptr<const FileDescriptor> original) {
  ForgetLingering();
  PrivateCopy result;
  INSTAR_ASSIGN_OR_RETURN(FileDescriptor copy,
                          WriteCopy(image, image.bytes(), patches));
  INSTAR_RETURN_IF_ERROR(result.Open(std::move(copy), *original, 0));
  // Debuggers follow the name to the file with the symbols, and so do we.
  // Nobody needs the copy any more: it is mapped.
  const int number = result.file_.number();
  const FileDescriptor file(OpenAgain(original->number()));
  if (number >= 0 && file.number() >= 0 &&
      dup3(file.number(), number, O_CLOEXEC) == number) {
    static_cast<void>(result.file_.Release());
    result.file_ = OwnDescriptor(number);
    code_internal::DeclareImageCopy(result.name_, {number, PathOf(number)});
  } else {
    code_internal::CloseImageCopy(result.name_);
  }
  return result;
}

std::uintptr_t PrivateCopy::ChooseUnused(absl::Span<const AddressRange> near,
                                         const Room& room,
                                         absl::Span<const AddressRange> taken) {
  std::vector<AddressRange> avoided(taken.begin(), taken.end());
  {
    Remainder& remainder = TheRemainder();
    std::lock_guard<std::mutex> lock(remainder.mutex);
    avoided.insert(avoided.end(), remainder.used.begin(), remainder.used.end());
  }
  const std::vector<AddressRange> free = FreeRanges();
  const std::uintptr_t base = ChoosePlace(free, near, room, avoided);
  return base != 0 ? base : ChoosePlace(free, near, room, taken);
}

void PrivateCopy::NoteUsed(AddressRange place) {
  constexpr std::size_t kMost = 1000;
  Remainder& remainder = TheRemainder();
  std::lock_guard<std::mutex> lock(remainder.mutex);
  if (remainder.used.size() == kMost) {
    remainder.used.erase(remainder.used.begin());
  }
  remainder.used.push_back(place);
}

void (*between_choice_and_load_for_test)(std::uintptr_t base) = nullptr;

absl::StatusOr<PrivateCopy> PrivateCopy::LoadNear(
    const ElfImage& image, absl::Span<const Patch> patches,
    std::shared_ptr<const FileDescriptor> original, const NearContents& near) {
  ForgetLingering();
  const Room room = {SizeInMemory(image), AlignmentInMemory(image)};
  std::vector<AddressRange> taken;
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const std::uintptr_t base = ChooseUnused(near.images, room, taken);
    if (base == 0) {
      return absl::ResourceExhaustedError(
          "there is no room for it within 2 GiB of all that it refers to");
    }
    const AddressRange place = {base, base + room.size};
    INSTAR_ASSIGN_OR_RETURN(std::string bytes, near.contents(base));
    // It has addresses of what may be unloaded (base/wiped.h).
    const absl::Cleanup wipe = [&bytes] {
      explicit_bzero(&bytes[0], bytes.size());
    };
    MoveTo(image, base, bytes);
    PrivateCopy result;
    FileDescriptor in_memory;
    if (!near.path_begin.empty()) {
      // Each has a name that no other object has had.
      absl::StatusOr<KeptFile> file = KeptFile::Make(
          absl::StrCat(near.path_begin,
                       attempt == 0 ? "" : absl::StrCat(attempt, "."),
                       near.path_end),
          [&](int number) { return FillCopy(number, image, bytes, patches); });
      // Without one, debuggers find it for as long as the process lives.
      if (file.ok()) result.kept_file_ = *std::move(file);
    }
    if (!result.kept_file_.is_executable()) {
      INSTAR_ASSIGN_OR_RETURN(in_memory, WriteCopy(image, bytes, patches));
    }
    if (between_choice_and_load_for_test != nullptr) {
      between_choice_and_load_for_test(base);
    }
    if (in_memory.number() >= 0) {
      INSTAR_RETURN_IF_ERROR(
          result.Open(std::move(in_memory), *original, base));
    } else {
      result.name_ = result.path();
      INSTAR_RETURN_IF_ERROR(result.OpenByName(*original, base));
    }
    if (result.load_base_ != 0) {
      // None of its code has run, and nothing of it is to be used.
      result.Unload();
      const std::vector<AddressRange> free = FreeRanges();
      const bool is_free =
          std::any_of(free.begin(), free.end(), [&](const AddressRange& range) {
            return range.begin <= place.begin && place.end <= range.end;
          });
      // It may have been somebody's for a moment.
      if (is_free && attempt + 1 == kMostAttempts) {
        return WishNotTaken(gnu_get_libc_version());
      }
      if (!is_free) taken.push_back(place);
      continue;
    }
    result.load_base_ = base;
    result.is_moved_ = true;
    NoteUsed(place);
    result.original_ = OwnDescriptor(OpenAgain(original->number()));
    const int number = result.original_.number();
    if (number >= 0) {
      code_internal::DeclareImageCopy(result.name_,
                                      {number, PathOf(number), base});
    } else {
      code_internal::CloseImageCopy(result.name_);
    }
    return result;
  }
  return absl::AbortedError(
      "other threads took each place near the program that was free; try "
      "again");
}

PrivateCopy::PrivateCopy(PrivateCopy&& other) noexcept
    : name_(std::move(other.name_)),
      file_(std::move(other.file_)),
      kept_file_(std::move(other.kept_file_)),
      original_(std::move(other.original_)),
      handle_(std::exchange(other.handle_, nullptr)),
      load_base_(other.load_base_),
      is_moved_(other.is_moved_),
      is_kept_(other.is_kept_) {}

PrivateCopy& PrivateCopy::operator=(PrivateCopy&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(file_, other.file_);
  std::swap(kept_file_, other.kept_file_);
  std::swap(original_, other.original_);
  std::swap(handle_, other.handle_);
  std::swap(load_base_, other.load_base_);
  std::swap(is_moved_, other.is_moved_);
  std::swap(is_kept_, other.is_kept_);
  return *this;
}

PrivateCopy::~PrivateCopy() { Unload(); }

bool PrivateCopy::Unload() {
  if (handle_ == nullptr) return true;
  if (!is_kept_) {
    dlclose(handle_);
    if (!IsLoaded(name_)) {
      code_internal::ForgetImageCopy(name_);
      handle_ = nullptr;
      file_.Close();
      kept_file_.Remove();
      return true;
    }
  }
  // What has been read of the file is still known.
  code_internal::CloseImageCopy(name_);
  // Of a copy that was moved, and has no other name, debuggers find nothing
  // else that fits.
  const bool is_needed = is_kept_ && is_moved_ && path().empty();
  if (!is_needed) file_.Close();
  original_.Close();
  Remainder& remainder = TheRemainder();
  std::lock_guard<std::mutex> lock(remainder.mutex);
  (is_kept_ ? remainder.kept : remainder.lingering).push_back(std::move(*this));
  return false;
}

bool PrivateCopy::IsLoaded(const std::string& name) {
  void* const handle = dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

bool PrivateCopy::UnloadKept(const std::string& name) {
  ForgetLingering();
  Remainder& remainder = TheRemainder();
  PrivateCopy copy;
  {
    std::lock_guard<std::mutex> lock(remainder.mutex);
    const auto is_it = [&name](const PrivateCopy& one) {
      return one.name_ == name;
    };
    const auto kept =
        std::find_if(remainder.kept.begin(), remainder.kept.end(), is_it);
    if (kept == remainder.kept.end()) {
      // It has been tried before.
      return std::none_of(remainder.lingering.begin(),
                          remainder.lingering.end(), is_it);
    }
    copy = std::move(*kept);
    remainder.kept.erase(kept);
  }
  copy.is_kept_ = false;
  return copy.Unload();
}

INSTAR_CATCHES_FORCED_UNWIND absl::Status PrivateCopy::Initialize(
    const ElfImage& image) {
  WipedVector<Initializer> initializers;
  if (const auto address = image.DynamicValue(DT_INIT)) {
    initializers.push_back(
        reinterpret_cast<Initializer>(load_base_ + *address));
  }
  const auto array = image.DynamicValue(DT_INIT_ARRAY);
  const auto size = image.DynamicValue(DT_INIT_ARRAYSZ);
  if (array.has_value() && size.has_value()) {
    // They have been relocated.
    const auto* const begin =
        reinterpret_cast<const Initializer*>(load_base_ + *array);
    initializers.insert(initializers.end(), begin,
                        begin + *size / sizeof(Initializer));
  }
  // The exception is gone before the object is unloaded that may define it.
  try {
    for (const Initializer initializer : initializers) {
      initializer(argument_count, arguments, environment);
    }
  } catch (const std::exception& exception) {
    return absl::AbortedError(exception.what());
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    return absl::AbortedError("an exception that is no std::exception");
  }
  return absl::OkStatus();
}

}  // namespace manager_internal
}  // namespace instar

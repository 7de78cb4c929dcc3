// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/image_copy.h"

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "base/at_fork.h"
#include "base/small_mutex.h"

namespace instar {
namespace code_internal {
namespace {

// device, inode, size, time of change in ns
using Identity = std::tuple<dev_t, ino_t, off_t, int64_t>;

Identity IdentityOf(const struct stat& file) {
  return {file.st_dev, file.st_ino, file.st_size,
          file.st_mtim.tv_sec * 1000000000 + file.st_mtim.tv_nsec};
}

struct Declared {
  ImageOriginal original;
  Identity identity;
};

SmallMutex g_mutex;

[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(ForkOrder::kImages,
                  {[] { g_mutex.lock(); }, [] { g_mutex.unlock(); },
                   [] { g_mutex.unlock(); }});
}

// Those that are declared, while the lock is held. Made by whoever comes first,
// which may be a constructor that runs before those of this file. Never
// destroyed: threads may still ask while the process exits.
class Originals {
 public:
  Originals() : lock_(g_mutex), by_image(Get()) {}

 private:
  static std::map<std::string, Declared>& Get() {
    static auto& by_image = *new std::map<std::string, Declared>;
    return by_image;
  }

  const std::lock_guard<SmallMutex> lock_;

 public:
  std::map<std::string, Declared>& by_image;
};

}  // namespace

void DeclareImageCopy(const std::string& image, ImageOriginal original) {
  struct stat file = {};
  fstat(original.file, &file);
  const Originals originals;
  originals.by_image[image] = {std::move(original), IdentityOf(file)};
}

void CloseImageCopy(const std::string& image) {
  const Originals originals;
  const auto declared = originals.by_image.find(image);
  if (declared != originals.by_image.end()) {
    declared->second.original.file = -1;
  }
}

void ForgetImageCopy(const std::string& image) {
  const Originals originals;
  originals.by_image.erase(image);
}

std::optional<ImageOriginal> FindImageOriginal(const std::string& image) {
  const Originals originals;
  const auto declared = originals.by_image.find(image);
  if (declared == originals.by_image.end()) return std::nullopt;
  return declared->second.original;
}

std::string PathToOriginal(const std::string& image) {
  const Originals originals;
  const auto declared = originals.by_image.find(image);
  if (declared == originals.by_image.end()) return "";
  const ImageOriginal& original = declared->second.original;
  for (const std::string& path :
       {"/proc/thread-self/fd/" + std::to_string(original.file),
        original.path}) {
    struct stat file;
    if (stat(path.c_str(), &file) == 0 &&
        IdentityOf(file) == declared->second.identity) {
      return path;
    }
  }
  return "";
}

}  // namespace code_internal
}  // namespace instar

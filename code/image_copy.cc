// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/image_copy.h"

#include <map>
#include <mutex>
#include <utility>

namespace instar {
namespace code_internal {
namespace {

// Made by whoever comes first, which may be a constructor that runs before
// those of this file. Never destroyed: threads may still ask while the process
// exits.
struct Originals {
  static Originals& Get() {
    static Originals& originals = *new Originals;
    return originals;
  }

  std::mutex mutex;
  std::map<std::string, ImageOriginal> by_image;
};

}  // namespace

void DeclareImageCopy(const std::string& image, ImageOriginal original) {
  Originals& originals = Originals::Get();
  std::lock_guard<std::mutex> lock(originals.mutex);
  originals.by_image[image] = std::move(original);
}

void ForgetImageCopy(const std::string& image) {
  Originals& originals = Originals::Get();
  std::lock_guard<std::mutex> lock(originals.mutex);
  originals.by_image.erase(image);
}

std::optional<ImageOriginal> FindImageOriginal(const std::string& image) {
  Originals& originals = Originals::Get();
  std::lock_guard<std::mutex> lock(originals.mutex);
  const auto original = originals.by_image.find(image);
  if (original == originals.by_image.end()) return std::nullopt;
  return original->second;
}

}  // namespace code_internal
}  // namespace instar

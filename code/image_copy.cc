// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/image_copy.h"

#include <map>
#include <mutex>
#include <utility>

namespace instar {
namespace code_internal {
namespace {

// Never destroyed: threads may still ask while the process exits.
std::mutex& mutex = *new std::mutex;
auto& originals = *new std::map<std::string, ImageOriginal>;

}  // namespace

void DeclareImageCopy(const std::string& image, ImageOriginal original) {
  std::lock_guard<std::mutex> lock(mutex);
  originals[image] = std::move(original);
}

void ForgetImageCopy(const std::string& image) {
  std::lock_guard<std::mutex> lock(mutex);
  originals.erase(image);
}

std::optional<ImageOriginal> FindImageOriginal(const std::string& image) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto original = originals.find(image);
  if (original == originals.end()) return std::nullopt;
  return original->second;
}

}  // namespace code_internal
}  // namespace instar

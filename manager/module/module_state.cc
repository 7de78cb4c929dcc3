// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_state.h"

#include <elf.h>
#include <string.h>

#include <cstring>

namespace instar {
namespace manager_internal {
namespace {

// The compiler's own, in each shared object: it does nothing to speak of.
constexpr std::uint64_t kOwnInitializers = 1;
// Variables that are too large to be kept twice.
constexpr std::size_t kMost = 1 << 20;  // bytes

}  // namespace

ModuleState::ModuleState(const ElfImage& image, std::uintptr_t load_base) {
  const std::uint64_t initializers =
      image.DynamicValue(DT_INIT_ARRAYSZ).value_or(0) / sizeof(void (*)());
  if (initializers > kOwnInitializers) {
    remembers_ = "has static initializers";
    return;
  }
  if (image.has_thread_locals()) {
    remembers_ = "has thread_local variables";
    return;
  }
  std::size_t size = 0;
  const std::vector<ElfImage::Range> ranges = image.VariableRanges();
  for (const ElfImage::Range& range : ranges) size += range.size;
  if (size > kMost) {
    remembers_ = "has variables of more than 1 MiB";
    return;
  }
  for (const ElfImage::Range& range : ranges) {
    const auto* const begin =
        reinterpret_cast<const char*>(load_base + range.address);
    parts_.push_back({begin, std::string(begin, range.size)});
  }
}

ModuleState::~ModuleState() {
  for (Part& part : parts_) explicit_bzero(&part.bytes[0], part.bytes.size());
}

std::vector<std::pair<const void*, std::size_t>> ModuleState::AddressMemory()
    const {
  std::vector<std::pair<const void*, std::size_t>> memory = {
      {parts_.data(), parts_.size() * sizeof(Part)}};
  for (const Part& part : parts_) {
    memory.emplace_back(part.bytes.data(), part.bytes.size());
  }
  return memory;
}

std::string ModuleState::Changed() const {
  if (!remembers_.empty()) return remembers_;
  for (const Part& part : parts_) {
    if (std::memcmp(part.begin, part.bytes.data(), part.bytes.size()) != 0) {
      return "has variables that were changed";
    }
  }
  return "";
}

}  // namespace manager_internal
}  // namespace instar

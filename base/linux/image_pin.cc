// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/image_pin.h"

#include <dlfcn.h>
#include <link.h>

#include <utility>

#include "base/linker_gate.h"

namespace instar {

ImagePin::ImagePin(const std::string& name, std::uintptr_t load_base)
    : name_(name), load_base_(load_base) {
  if (name.empty()) {
    ok_ = true;
    return;
  }
  const LinkerGate gate;
  handle_ = dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  link_map* map = nullptr;
  ok_ = handle_ != nullptr && dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 &&
        map->l_addr == load_base;
}

ImagePin::ImagePin(ImagePin&& other) noexcept
    : name_(std::move(other.name_)),
      load_base_(other.load_base_),
      handle_(std::exchange(other.handle_, nullptr)),
      ok_(std::exchange(other.ok_, false)) {}

ImagePin& ImagePin::operator=(ImagePin&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(load_base_, other.load_base_);
  std::swap(handle_, other.handle_);
  std::swap(ok_, other.ok_);
  return *this;
}

ImagePin::~ImagePin() {
  if (handle_ == nullptr) return;
  const LinkerGate gate;
  dlclose(handle_);
}

bool ImagePin::ForEver() const {
  const LinkerGate gate;
  // The name means this very object for as long as the pin exists.
  return ok_ && (handle_ == nullptr ||
                 dlopen(name_.c_str(),
                        RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) != nullptr);
}

}  // namespace instar

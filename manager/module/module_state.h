// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a loaded module remembers: whether it is as it was when it had just been
// loaded, so that it can serve as if it were loaded anew. Internal to this
// package.
//
// What is looked at is memory, since a module says nothing of what its
// variables mean. So this is too careful now and then, and never not careful
// enough: a variable that has its first value again counts as unchanged, which
// is what it is; static initializers, which may have done something elsewhere,
// and variables of each thread make a module one that remembers.

#ifndef INSTAR_MANAGER_MODULE_MODULE_STATE_H_
#define INSTAR_MANAGER_MODULE_MODULE_STATE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/wiped.h"
#include "manager/module/elf_image.h"

namespace instar {
namespace manager_internal {

class ModuleState {
 public:
  // Of an image that was loaded at `load_base`, and initialized. It stays
  // loaded.
  ModuleState(const ElfImage& image, std::uintptr_t load_base);

  ~ModuleState();
  ModuleState(const ModuleState&) = delete;
  ModuleState& operator=(const ModuleState&) = delete;

  // Where this object itself has addresses of the module, and its bytes.
  std::vector<std::pair<const void*, std::size_t>> AddressMemory() const;

  // Why the module is another one than it was; empty: it is not. A phrase that
  // goes on after "it ".
  std::string Changed() const;

 private:
  struct Part {
    const char* begin;
    std::string bytes;  // as they were
  };

  std::string remembers_;  // whatever its variables are
  WipedVector<Part> parts_;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_MODULE_STATE_H_

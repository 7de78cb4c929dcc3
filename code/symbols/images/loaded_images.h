// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program and the shared objects that are loaded, with their symbols.
//
// The symbols of a file are read once and kept for as long as the process
// lives, also after the object was unloaded: pointers to them stay valid.
//
// Threads: everything may be called from any thread, also while others load and
// unload objects. A LoadedImages is immutable.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_LOADED_IMAGES_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_LOADED_IMAGES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/linux/image_pin.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/symbol_table.h"

namespace instar {
namespace code_internal {

struct LoadedImage {
  std::string name;         // as the dynamic linker knows it
  uintptr_t load_base = 0;  // what is added to the addresses of the file
  // What the dynamic linker has added: another one if the image is loaded from
  // a copy that was moved before.
  uintptr_t linker_base = 0;
  CodeRange code;  // from the first to the last executable segment
  bool is_program = false;
  size_t thread_local_module = 0;  // what __tls_get_addr() calls it; 0: none
  const SymbolTable* symbols = nullptr;  // never null
};

class LoadedImages {
 public:
  // The images that are loaded now, in the order in which they were loaded (the
  // program first). Looks only at those that were loaded since the last call,
  // as long as none was unloaded, and reads the files that have not been read
  // yet: some milliseconds for a large one; otherwise about 100 ns.
  static std::shared_ptr<const LoadedImages> Current();

  // Whether no object has been loaded or unloaded since.
  bool IsCurrent() const;

  absl::Span<const LoadedImage> images() const { return images_; }

  // Keeps one of the images loaded: its memory may be read while the pin is
  // ok(). It is not if the image has been unloaded since.
  static ImagePin Pin(const LoadedImage& image);

  // The image that has code at this address, or null. Takes no lock.
  const LoadedImage* Find(uintptr_t address) const;

 private:
  struct Scan;

  LoadedImages() = default;

  std::vector<LoadedImage> images_;
  std::vector<size_t> by_address_;  // places in images_
  std::vector<uintptr_t> begins_;   // of the code of by_address_
  uint64_t loads_ = 0;              // how many objects had ever been loaded
  uint64_t unloads_ = 0;            // and unloaded
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_LOADED_IMAGES_H_

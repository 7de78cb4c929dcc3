// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Images that are loaded from a copy of their file, as update modules are: the
// copy has no symbols, has no name that says anything, and no debug file lies
// beside it. What is known of the image is read from the file that was copied.
//
// Threads: may be called from any thread.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_IMAGE_COPY_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_IMAGE_COPY_H_

#include <cstdint>
#include <optional>
#include <string>

namespace instar {
namespace code_internal {

struct ImageOriginal {
  int file = -1;     // open for reading, or -1: what was read is all there is
  std::string path;  // what messages call it, and where debug files are sought
  // What was added to the addresses in the copy before it was loaded; the
  // dynamic linker adds nothing to them then.
  std::uintptr_t moved_by = 0;
};

// A path that leads to the file of the original as it was when it was declared:
// by its descriptor, or by its name if the program has closed that. Empty if
// there is none any more.
std::string PathToOriginal(const std::string& image);

// To be called before the image is loaded. `image` is the name that dlopen() is
// given.
void DeclareImageCopy(const std::string& image, ImageOriginal original);

// To be called before its file is closed while the image stays loaded. What has
// been read of it stays known.
void CloseImageCopy(const std::string& image);

// To be called when it is not loaded any more.
void ForgetImageCopy(const std::string& image);

std::optional<ImageOriginal> FindImageOriginal(const std::string& image);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_IMAGE_COPY_H_

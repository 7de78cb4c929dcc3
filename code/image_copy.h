// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Images that are loaded from a copy of their file, as update modules are: the
// copy has no symbols, has no name that says anything, and no debug file lies
// beside it. What is known of the image is read from the file that was copied.
//
// Threads: may be called from any thread.

#ifndef INSTAR_CODE_IMAGE_COPY_H_
#define INSTAR_CODE_IMAGE_COPY_H_

#include <optional>
#include <string>

namespace instar {
namespace code_internal {

struct ImageOriginal {
  int file = -1;     // open for reading until the image is forgotten
  std::string path;  // what messages call it, and where debug files are sought
};

// To be called before the image is loaded. `image` is the name that dlopen() is
// given.
void DeclareImageCopy(const std::string& image, ImageOriginal original);

// To be called when it is not loaded any more.
void ForgetImageCopy(const std::string& image);

std::optional<ImageOriginal> FindImageOriginal(const std::string& image);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_IMAGE_COPY_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The separate file that holds the symbols and the debug information of an ELF
// file that was stripped (GDB manual, "Debugging Information in Separate
// Files"):
//
//   $ objcopy --only-keep-debug shop shop.debug
//   $ strip shop
//   $ objcopy --add-gnu-debuglink=shop.debug shop

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_DEBUG_FILE_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_DEBUG_FILE_H_

#include <string>

#include "absl/strings/string_view.h"

typedef struct Elf Elf;

namespace instar {
namespace code_internal {

// The path of the debug file that `elf`, the file at `path`, names in
// .gnu_debuglink: in the same folder, in .debug beside it, or below
// /usr/lib/debug. Empty if none is named, or none with the right checksum is
// there.
std::string FindDebugFile(Elf* elf, absl::string_view path);

// The path of the debug file with this build id, below `folder`, as Linux
// distributions install them: .build-id/12/3456.debug for the bytes 12 34 56.
// Empty if there is none.
std::string FindDebugFileOf(absl::string_view build_id,
                            absl::string_view folder = "/usr/lib/debug");

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_DEBUG_FILE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The code ranges that .eh_frame_hdr lists: one for each function with unwind
// information, in stripped files too (Linux Standard Base 5.0, 10.6.2).

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_EH_FRAME_HEADER_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_EH_FRAME_HEADER_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "code/symbols/images/code_range.h"

namespace instar {
namespace code_internal {

// The ranges in the order of their addresses. `address` is where the section
// `bytes` is loaded; `loaded_at` gives the bytes that are loaded at an address,
// as far as they reach. A table in another encoding than the one that all
// linkers write (sorted, 4-byte offsets from the section) gives no ranges; an
// entry that cannot be read gives an empty range.
std::vector<CodeRange> ReadEhFrameHeader(
    uintptr_t address, absl::string_view bytes,
    absl::FunctionRef<absl::string_view(uintptr_t)> loaded_at);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_EH_FRAME_HEADER_H_

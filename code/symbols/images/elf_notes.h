// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an object notes of itself in its segments of type PT_NOTE, whose
// contents these functions take, as they lie in memory or in a file.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_ELF_NOTES_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_ELF_NOTES_H_

#include "absl/strings/string_view.h"

namespace instar {
namespace code_internal {

// The build id; empty if there is none.
absl::string_view BuildIdIn(absl::string_view notes);

// Whether a part of the object had functions of external linkage inlined in
// their file (tools/install/inlining.h).
bool NotesInlining(absl::string_view notes);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_ELF_NOTES_H_

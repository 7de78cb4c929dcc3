// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Writes into memory of this process through /proc/self/mem, which ignores page
// protection, and looks whether what was written is there.
//
// The file stays open. It is known again before each write, and opened anew
// where the program has closed it (base/linux/own_descriptor.h): its number may
// stand for a log of the program by now. What was opened before the process
// changed its user, or its root, works afterwards; /proc/self/mem can then not
// be opened any more. Where that is for the user, a page is made writable for
// the write, as long as no policy of the system forbids that.
//
// Threads: under CodeLock (code/internal/text_patch.h). Allocates on first use.
// The text of an error is put aside where nothing may be allocated
// (base/error_text.h). Errors: PermissionDenied if the file cannot be opened or
// written; Internal if memory does not have what was written.

#ifndef INSTAR_CODE_INTERNAL_OWN_MEMORY_H_
#define INSTAR_CODE_INTERNAL_OWN_MEMORY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace instar {
namespace code_internal {

// pwrite(2), which tests replace.
using WriteAtCall = ssize_t (*)(int file, const void* bytes, size_t size,
                                uintptr_t address);

// Opens the file if that has not been done, and makes sure that it is the
// memory of this process and that protected pages can be written: some system
// calls.
absl::Status OpenOwnMemory(WriteAtCall write_at);

absl::Status WriteOwnMemory(uintptr_t address, const void* bytes, size_t size,
                            WriteAtCall write_at);

// In a child of fork(), whose file is the parent's memory.
void CloseOwnMemory();

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_OWN_MEMORY_H_

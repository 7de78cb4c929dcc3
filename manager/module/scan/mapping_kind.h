// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a mapping is to whoever looks through memory for addresses. Internal to
// manager/module.
//
// Threads: any. Allocates nothing.

#ifndef INSTAR_MANAGER_MODULE_SCAN_MAPPING_KIND_H_
#define INSTAR_MANAGER_MODULE_SCAN_MAPPING_KIND_H_

#include "base/linux/maps.h"

namespace instar {
namespace manager_internal {

enum class MappingKind {
  kPrivate,  // what has been written to it is this process's own
  // Memory that processes share. Pages of it that nobody has written to exist
  // only once they are read: those are not to be looked at.
  kShared,
  kSharedHuge,  // the same, in pages of which the kernel tells less
  // Of a file that this process may change.
  kFile,
  // Of a file that others change, or of the kernel's own: nothing to look at.
  kNothing,
  // Of a device, whose registers are not to be read, or of something that has
  // more behind it than is seen: an io_uring, Linux AIO.
  kUnreadable,
  // The kernel keeps there what it has put in place of probed instructions.
  // Where a function returns to that is probed at its end (uretprobe) is not on
  // the stack then.
  kProbes,
};

MappingKind KindOf(const Mapping& mapping);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_SCAN_MAPPING_KIND_H_

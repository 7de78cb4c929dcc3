// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The objects that the dynamic linker has loaded, in the order in which it has
// done so, as whoever updates a shared object looks for them.
//
// Threads: any. Takes the locks of ForEachLoadedObject()
// (base/linux/loaded_objects.h).

#ifndef INSTAR_MANAGER_INTERNAL_IMAGE_LIST_H_
#define INSTAR_MANAGER_INTERNAL_IMAGE_LIST_H_

#include <vector>

#include "manager/control/control_service.h"

namespace instar {
namespace manager_internal {

std::vector<ImageReport> ListImages();

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_IMAGE_LIST_H_

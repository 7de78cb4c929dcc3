// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// dl_iterate_phdr(3) of libc, also in a program that defines a function of that
// name, as some do that cache the list of objects (ScyllaDB's Seastar) or hide
// some of it: what such a function leaves out would count as not loaded.
//
// Threads: any. Takes the locks that dl_iterate_phdr(3) takes; the first call
// also those of dlsym(3), so it is made before main()
// (code/internal/patchable_entries.h). fork() waits until no thread is inside,
// so that the child can call it (base/linker_gate.h says what is left): `visit`
// waits for no lock that is taken around fork().

#ifndef INSTAR_BASE_LINUX_LOADED_OBJECTS_H_
#define INSTAR_BASE_LINUX_LOADED_OBJECTS_H_

#include <link.h>

#include <cstddef>

namespace instar {

// Calls visit(info, size, argument) for each object until it returns something
// else than 0, which is returned.
int ForEachLoadedObject(int (*visit)(dl_phdr_info* info, size_t size,
                                     void* argument),
                        void* argument);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_LOADED_OBJECTS_H_

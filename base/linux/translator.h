// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Programs that are run by a translator (qemu's user mode): for the kernel the
// process is the translator's.
//
// The translator answers what the program asks of /proc/self, and leaves
// /proc/thread-self to the kernel, which tells of the translator. On all others
// the latter is asked, since /proc/self has nothing when the first thread has
// ended.
//
// Threads: any. Allocates nothing and takes no lock, so that it can be used
// while other threads are stopped.

#ifndef INSTAR_BASE_LINUX_TRANSLATOR_H_
#define INSTAR_BASE_LINUX_TRANSLATOR_H_

namespace instar {

// False also where the kernel does not tell.
bool IsTranslated();

// A link to the program's file.
inline const char* OwnProgramLink() {
  return IsTranslated() ? "/proc/self/exe" : "/proc/thread-self/exe";
}

// The list of the mappings.
inline const char* OwnMappingsFile() {
  return IsTranslated() ? "/proc/self/maps" : "/proc/thread-self/maps";
}

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_TRANSLATOR_H_

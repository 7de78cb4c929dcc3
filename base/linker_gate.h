// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Keeps fork() away from this library's own stays in the dynamic linker.
// Internal.
//
//   {
//     const LinkerGate gate;
//     handle = dlopen(...);        // or dlsym(), dlclose(), dl_iterate_phdr()
//   }
//
// The dynamic linker's locks are glibc's, which does not take them around
// fork(): in the child, one that another thread owned stays taken for ever, and
// the child hangs in its next dl_iterate_phdr() or dlopen(). So fork() closes
// this gate, as the last of what this library does before it (base/at_fork.h),
// and waits until no thread is inside, for a second at most: a constructor that
// runs in a dlopen() may take longer, or wait for the thread that forks. Who
// comes to a gate that is closed waits until fork() is through.
//
// What is left: a lock that a thread took outside of the gate, which is what
// the program's own threads do by their dlopen() and dl_iterate_phdr(), stays
// taken in the child as it does without this library. There, nothing of this
// library that runs by itself (its handlers of fork(), what it does at exit)
// comes to the dynamic linker; a look-up of names, a redefinition and the
// loading of a module do, and wait for ever. A child that wants those has to be
// made while no thread of the program is in the dynamic linker.
//
// Threads: any, also one that is inside already, or that forks. Who is inside
// may fork; it is inside in the child, too. Memory order: who leaves releases,
// with which the acquire of the thread that forks pairs.

#ifndef INSTAR_BASE_LINKER_GATE_H_
#define INSTAR_BASE_LINKER_GATE_H_

namespace instar {

class LinkerGate {
 public:
  LinkerGate();
  ~LinkerGate();
  LinkerGate(const LinkerGate&) = delete;
  LinkerGate& operator=(const LinkerGate&) = delete;
};

namespace base_internal {
// By the thread that forks: one at a time.
void CloseLinkerGate();
void OpenLinkerGate();
void OpenLinkerGateInChild();
}  // namespace base_internal

}  // namespace instar

#endif  // INSTAR_BASE_LINKER_GATE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_CODE_INTERNAL_OTHER_THREADS_H_
#define INSTAR_CODE_INTERNAL_OTHER_THREADS_H_

namespace instar {

// What whoever changes code knows of the other threads.
enum class OtherThreads {
  kRunning,  // they may be anywhere, also in the functions to be changed
  kHeld,     // they are stopped, none of them inside the five bytes of an entry
};

}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_OTHER_THREADS_H_

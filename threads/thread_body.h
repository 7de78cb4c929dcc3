// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a controlled thread runs. Internal to this package.

#ifndef INSTAR_THREADS_THREAD_BODY_H_
#define INSTAR_THREADS_THREAD_BODY_H_

#include "absl/functional/any_invocable.h"
#include "threads/thread_record.h"

namespace instar {
namespace threads_internal {

// On the thread itself, whose record has been added to the registry: runs
// `main`, and whatever it is rebooted into, and removes the record.
void RunThread(ThreadRecord& record, absl::AnyInvocable<void()> main);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_THREAD_BODY_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The names of threads and of update points that this program has, as far as
// it has shown them: an update that has another one was misspelt, or comes
// before its time.
//
//   int main() {
//     instar::DeclareThread("compaction");      // is started when it is needed
//     instar::DeclareUpdatePoint("between requests");
//     ...
//   }
//
// What is known:
//
//   of threads         every name that a controlled thread of the process has
//                      or has had. All start under one, so an update that names
//                      another one is refused, NotFound, before any thread is
//                      disturbed; one that has ended is waited for. A thread
//                      that an update may name before it has ever run is
//                      declared.
//   of update points   those that were passed while an update was under way,
//                      and those of regions that were entered
//                      (threads/blocking_region.h): a point that is passed
//                      while nothing is pending costs a load, and is not noted.
//                      So an unknown point may be one that no thread has come
//                      to yet, and it is a remark and not an error.
//   of exposed values  what is exposed at that moment (stack/exposed_values.h):
//                      a function that has not begun exposes nothing. Whoever
//                      reads a value learns of those that there are.
//
// Threads: any, also while others are held. Names are kept for as long as the
// process lives, a thousand of each kind; of a program with more, no name
// counts as unknown.

#ifndef INSTAR_THREADS_KNOWN_NAMES_H_
#define INSTAR_THREADS_KNOWN_NAMES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace instar {

// There may be a controlled thread of this name later.
void DeclareThread(absl::string_view name);
// Threads may pass an update point of this name later.
void DeclareUpdatePoint(absl::string_view name);

namespace threads_internal {

// Takes a lock the first time that it sees a name, else none.
void NoteThread(absl::string_view name);
void NoteUpdatePoint(absl::string_view name);

// NotFound, with the nearest names, if no thread is, was or will be called so.
absl::Status CheckThreadName(absl::string_view name);
// A sentence, with the nearest names, if no such update point is known; else
// empty.
std::string RemarkOnUpdatePoint(absl::string_view name);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_KNOWN_NAMES_H_

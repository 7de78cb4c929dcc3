// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Ends the function of a thread and starts another on the same operating-system
// thread: the thread reboot of PyMoult (HotSWUP'13), section 2.2, as in ReCaml.
//
//   plan.Add(Reboot("display", &NewDisplay, &Display));
//   plan.Add(Reboot("socket", MainWith(&NewMain, [](const HeldThread&) {
//                     return ReadExposed<int>("listener");
//                   })));                          // NewMain(int listener)
//
//   threads.Add("display", Reboot("display", &NewDisplay, &Display));
//
// Every controlled thread of the name is rebooted; there must be one, or it is
// not yet. A name that no thread has had is NotFound, unless it is declared
// (threads/known_names.h). As a change of one thread
// (updates/thread_updates.h), it is the thread at whose update point it is.
// When the update is undone, it is rebooted into `main_when_undone`, if it has
// not ended since; without that, the update cannot be undone.
//
// Not yet while the stack of one cannot be unwound (a noexcept frame, a
// destructor, a frame of C, a paused continulet that could not be cancelled):
// the frame is named. When it can, and the update takes effect, the stack is
// unwound to the thread's base, all destructors run, and the new function
// starts. What a catch (...) on the way does is told in
// threads/update_request.h. A thread that waits in a blocking region is got out
// of it.
//
// RebootThread() (updates/reboot_thread.h) is the same of one thread, as a bare
// update function: by no name, with arguments, and without an undo.

#ifndef INSTAR_UPDATES_MECHANISMS_REBOOT_H_
#define INSTAR_UPDATES_MECHANISMS_REBOOT_H_

#include <memory>
#include <string>

#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/thread_main.h"

namespace instar {

std::shared_ptr<Mechanism> Reboot(std::string thread_name, ThreadMain new_main,
                                  ThreadMain main_when_undone = nullptr);

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REBOOT_H_

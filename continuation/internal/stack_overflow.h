// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Turns a continulet's stack overflow into a message that names the continulet.
// A SIGSEGV handler looks whether the address lies in the guard of the stack
// that the thread runs on; it then writes the message and leaves the signal to
// whoever had it before (by default: the program ends). Every other SIGSEGV
// goes there directly. Nothing here is for users.

#ifndef INSTAR_CONTINUATION_INTERNAL_STACK_OVERFLOW_H_
#define INSTAR_CONTINUATION_INTERNAL_STACK_OVERFLOW_H_

namespace instar {
namespace continuation_internal {

// Installs the handler, once for the process.
void InstallStackOverflowHandler();

// Gives the calling thread an alternate signal stack while it lives, unless it
// has one: the handler cannot run on the stack that overflowed.
class AlternateSignalStack {
 public:
  AlternateSignalStack();
  AlternateSignalStack(const AlternateSignalStack&) = delete;
  AlternateSignalStack& operator=(const AlternateSignalStack&) = delete;
  ~AlternateSignalStack();

 private:
  void* memory_ = nullptr;
};

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_STACK_OVERFLOW_H_

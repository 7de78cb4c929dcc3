// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <unwind.h>

#include "code/entry_interception.h"

namespace instar {
namespace {

// A frame that was interrupted by a signal is the one whose program counter has
// not been executed yet.
_Unwind_Reason_Code NoticeSignalFrame(_Unwind_Context* context, void* found) {
  int before_instruction = 0;
  _Unwind_GetIPInfo(context, &before_instruction);
  if (before_instruction == 0) return _URC_NO_REASON;
  *static_cast<bool*>(found) = true;
  return _URC_END_OF_STACK;
}

}  // namespace

bool RunsInSignalHandler() {
  bool found = false;
  _Unwind_Backtrace(&NoticeSignalFrame, &found);
  return found;
}

}  // namespace instar

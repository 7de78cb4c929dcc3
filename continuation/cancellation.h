// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is thrown in a continulet's body that is cancelled.

#ifndef INSTAR_CONTINUATION_CANCELLATION_H_
#define INSTAR_CONTINUATION_CANCELLATION_H_

#include "continuation/internal/control_block.h"

namespace instar {

// Not derived from std::exception, so that handlers of errors let it pass. Who
// has to clean up in a `catch (...)` ends it with `throw;`.
class ContinuletCancelled final {
 private:
  friend void continuation_internal::ThrowArrived();
  ContinuletCancelled() = default;
};

}  // namespace instar

#endif  // INSTAR_CONTINUATION_CANCELLATION_H_

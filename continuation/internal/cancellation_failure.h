// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A body that is paused in a function that no exception may leave cannot be
// cancelled: the runtime calls std::terminate. A terminate handler says then
// which continulet and which function that was, and hands on to the handler
// that was there before. Nothing here is for users.

#ifndef INSTAR_CONTINUATION_INTERNAL_CANCELLATION_FAILURE_H_
#define INSTAR_CONTINUATION_INTERNAL_CANCELLATION_FAILURE_H_

namespace instar {
namespace continuation_internal {

// Installs the terminate handler, once for the process.
void ExplainFailedCancellations();

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_CANCELLATION_FAILURE_H_

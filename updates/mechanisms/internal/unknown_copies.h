// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A remark of forecasts. Internal to this package.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_UNKNOWN_COPIES_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_UNKNOWN_COPIES_H_

#include "updates/mechanisms/update_forecast.h"

namespace instar {
namespace updates_internal {

// That inline functions may have been inlined where nobody knows, if there is
// such code; once in a forecast.
void RemarkOnUnknownCopies(UpdateForecast& forecast);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_UNKNOWN_COPIES_H_

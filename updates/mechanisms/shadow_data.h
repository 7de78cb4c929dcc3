// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Shadow data (heap/shadow/shadow.h) that are there while an update is applied,
// and no longer.
//
//   instar::Shadow<Limit> limits("limits");
//
//   plan.Add(instar::EndWithUpdate(&limits));
//   plan.Redefine(&Accept, &NewAccept);     // which attaches to what it is given
//   plan.Redefine(&Close, &NewClose);
//
// When the update has been undone, or an attempt to apply it was rolled back (a
// hook may have attached already), the data end: after the threads have gone
// on, so their destructors may take locks of the program. What they hold is
// lost, which `check` says. What must not be is carried back before, by a
// hook's undo, which sees them all by ForEach(). A check ends nothing, nor does
// an attempt for which it was too early.
//
// In per-thread updates it has a moment of its own: add it before those that
// attach (ThreadUpdates::Start(), Then()), so that it is undone after them.
//
// So nothing may use the data any more once the update is undone: functions
// that do are redefined by it, so that none of them is active then. Not by
// RedefineAtOnce(), whose calls go on; and no destructor of a function uses
// them that a thread was rebooted into, since it is unwound after the undo.
//
// Lifetime: the Shadow outlives the update.

#ifndef INSTAR_UPDATES_MECHANISMS_SHADOW_DATA_H_
#define INSTAR_UPDATES_MECHANISMS_SHADOW_DATA_H_

#include <functional>
#include <memory>
#include <string>

#include "heap/shadow/shadow.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {
namespace updates_internal {

std::shared_ptr<Mechanism> MakeShadowData(std::string name,
                                          std::function<void()> end);

}  // namespace updates_internal

template <typename T>
std::shared_ptr<Mechanism> EndWithUpdate(Shadow<T>* shadow) {
  return updates_internal::MakeShadowData(shadow->name(),
                                          [shadow] { shadow->End(); });
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_SHADOW_DATA_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Conversions that go on in the background (heap/conversion.h), all of the
// program's: they pause around every moment in which its threads are held, so
// that they cannot wait for what a held thread owns. Internal to this package.
//
// Threads: any.

#ifndef INSTAR_UPDATES_BACKGROUND_WORK_H_
#define INSTAR_UPDATES_BACKGROUND_WORK_H_

#include <memory>
#include <vector>

#include "heap/conversion.h"

namespace instar {
namespace updates_internal {

// From here on the conversion is paused whenever threads are held.
void AddBackgroundWork(std::shared_ptr<ConversionStep> step);
void RemoveBackgroundWork(const ConversionStep* step);

// All of it pauses while one is alive. They do not nest.
class BackgroundPause {
 public:
  BackgroundPause();
  ~BackgroundPause();
  BackgroundPause(const BackgroundPause&) = delete;
  BackgroundPause& operator=(const BackgroundPause&) = delete;

 private:
  std::vector<std::shared_ptr<ConversionStep>> paused_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_BACKGROUND_WORK_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How the threads of the site manager learn that the program ends.
//
//   while (ending.SleepFor(period)) { ... }       // in one thread
//   ending.Announce();                            // in another
//
// Threads: any.

#ifndef INSTAR_EXAMPLES_ENDING_H_
#define INSTAR_EXAMPLES_ENDING_H_

#include <chrono>

namespace site_manager {

class Ending {
 public:
  Ending();
  ~Ending();
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;

  void Announce();
  // Readable once the end has been announced.
  int descriptor() const { return descriptor_; }
  // False as soon as the program ends, true after that time. In a blocking
  // region (threads/blocking_region.h): updates need not wait for it.
  bool SleepFor(std::chrono::milliseconds duration);

 private:
  const int descriptor_;
};

extern Ending ending;

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_ENDING_H_

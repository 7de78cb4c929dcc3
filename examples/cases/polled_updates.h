// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A manager that has no thread: the program asks it for the next update, where
// that suits it.
//
//   PolledUpdates updates;
//   updates.Add({"serve", Change(Redefine(&Serve, &NewServe))});
//   while (true) {
//     updates.TryNext();
//     Serve();
//   }
//
// It is a queue of changes (updates/change.h), tried on the thread that asks.
//
// Threads: one.

#ifndef INSTAR_EXAMPLES_CASES_POLLED_UPDATES_H_
#define INSTAR_EXAMPLES_CASES_POLLED_UPDATES_H_

#include <deque>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "threads/attempt.h"
#include "updates/change.h"

namespace cases {

class PolledUpdates {
 public:
  struct Entry {
    std::string name;
    instar::Change change;
    // Asked before it is tried. Not yet: others go first. Failed: never.
    std::function<instar::Attempt()> requirement = [] {
      return instar::Attempt::Done();
    };
    // How often it is tried in a row before others go first.
    int most_tries = 1;
    int tries = 0;
  };

  void Add(Entry entry) { queue_.push_back(std::move(entry)); }

  // One try of the first one: done, not yet, or failed and dropped. What came
  // of it, for people; empty if there is none.
  std::string TryNext();

  bool IsApplied(const std::string& name) const {
    return applied_.count(name) > 0;
  }

 private:
  std::deque<Entry> queue_;
  std::set<std::string> applied_;
};

}  // namespace cases

#endif  // INSTAR_EXAMPLES_CASES_POLLED_UPDATES_H_

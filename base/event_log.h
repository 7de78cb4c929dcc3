// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An ordered log of what happened, across threads. Tests compare its exact
// contents; a journal is written from it.
//
//   EventLog log;
//   log.Add("display: held");
//   log.Add("socket: held");
//   EXPECT_THAT(log.Events(), ElementsAre("display: held", "socket: held"));
//
// Threads: may be used from any thread. The order of the log is the order in
// which the calls of Add() took the log's lock, so an Add() that happens before
// another one (in the sense of the C++ memory model) stands before it.

#ifndef INSTAR_BASE_EVENT_LOG_H_
#define INSTAR_BASE_EVENT_LOG_H_

#include <mutex>
#include <string>
#include <vector>

namespace instar {

class EventLog {
 public:
  EventLog() = default;
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  void Add(std::string event);

  // A copy of everything that was added so far, oldest first.
  std::vector<std::string> Events() const;

  // Returns what was added so far and leaves the log empty.
  std::vector<std::string> Take();

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
};

}  // namespace instar

#endif  // INSTAR_BASE_EVENT_LOG_H_

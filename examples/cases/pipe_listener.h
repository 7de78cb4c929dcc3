// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A listener of one's own beside the manager's socket: it takes updates from a
// named pipe.
//
//   PipeListener listener(*manager, "/run/shop/updates");
//
//   $ echo "update $PWD/add_ratings.so" > /run/shop/updates
//
// It asks nobody who they are: whoever can write to the pipe, which is made for
// its owner alone, can update the program.

#ifndef INSTAR_EXAMPLES_CASES_PIPE_LISTENER_H_
#define INSTAR_EXAMPLES_CASES_PIPE_LISTENER_H_

#include <string>
#include <thread>

#include "manager/manager.h"

namespace cases {

class PipeListener {
 public:
  // Makes the pipe, or ends the program.
  PipeListener(instar::Manager& manager, const std::string& path);
  // Waits for the update that it is about.
  ~PipeListener();

 private:
  void Listen();

  instar::Manager& manager_;
  int pipe_;
  std::thread thread_;
};

}  // namespace cases

#endif  // INSTAR_EXAMPLES_CASES_PIPE_LISTENER_H_

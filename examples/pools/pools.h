// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program of docs/pools.md: a pool that Boost.Asio runs, one of threads and
// a queue, and a thread that waits for futures.

#ifndef INSTAR_EXAMPLES_POOLS_POOLS_H_
#define INSTAR_EXAMPLES_POOLS_POOLS_H_

#include <future>
#include <string>

#include "boost/asio/io_context.hpp"
#include "examples/pools/tasks.h"

namespace pools {

// What all pools do.
std::string Answer(const std::string& request);

extern boost::asio::io_context io;
// The main function of each thread of the first pool, until it is closed.
void RunHandlers();
// Of a handler there.
std::future<std::string> AskAsio(std::string request);

extern Tasks tasks;
// The main function of each thread of the second pool, until it is closed.
void Work();
std::future<std::string> AskWorker(std::string request);

// Waits for an answer.
std::string Await(std::future<std::string> answer);

// Threads of both pools may run in between.
void OpenAsio();
void CloseAsio();
void OpenTasks();
void CloseTasks();

}  // namespace pools

#endif  // INSTAR_EXAMPLES_POOLS_POOLS_H_

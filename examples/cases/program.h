// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program of the cases: a passive thread "worker" carries out the lines of
// its standard input, and says what comes of them on its standard output.
//
//   say X     Greet(X)
//   bye       Bye()
//   hold      Hold(), which takes the next line
//   list      the versions of all items
//   use N     the version of lazy item N, used through its proxy
//   fill      FillList(), which takes a line for each element
//   talk      Talk(2), which takes the next line
//   visit     Visit("host"), which takes lines until "leave":
//               again   Visit("host"), inside of the first
//               guest   lets the thread "guest" call Visit("guest"), and says
//                       whether that has come, or waits at the entry

#ifndef INSTAR_EXAMPLES_CASES_PROGRAM_H_
#define INSTAR_EXAMPLES_CASES_PROGRAM_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "heap/lazy_proxy.h"
#include "heap/updatable.h"

namespace cases {

struct Item : instar::Updatable<Item> {
  virtual int Version() const { return 1; }
};
struct LazyItem : instar::Updatable<LazyItem> {
  virtual int Version() const { return 1; }
};
extern std::vector<std::unique_ptr<Item>> items;
extern std::vector<instar::LazyUnique<LazyItem>> lazy_items;

void Say(const std::string& line);
// In a blocking region. Nothing at the end of the input.
std::optional<std::string> NextLine();

void Greet(const std::string& whom);
void Bye();
void Hold();
void Progress();
void FillList(std::vector<std::string>& list, int size);
void Visit(const std::string& who);
// A recursion of `deeper` + 1 activations, each with a text of its own, which
// they say when the innermost has taken a line.
void Talk(int deeper);

// Carries out one line. False at the end of the input.
bool DoLine();
// The thread's; exposes the number of its "lines".
void WorkerMain();

// The guest's thread, until EndGuests().
void GuestMain();
void EndGuests();
// A line of a visit. False if the visit is over.
bool DoVisitLine();

}  // namespace cases

#endif  // INSTAR_EXAMPLES_CASES_PROGRAM_H_

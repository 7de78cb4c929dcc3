// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/cases/program.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "threads/update_point.h"

namespace cases {

std::vector<std::unique_ptr<Item>> items;
std::vector<instar::LazyUnique<LazyItem>> lazy_items;

void Say(const std::string& line) {
  const std::string text = line + "\n";
  if (write(STDOUT_FILENO, text.data(), text.size()) < 0) std::exit(1);
}

// What has been read of the next line is kept where a reboot of the thread does
// not end it, and bytes are read outside of Blocking(), out of which a reboot
// would throw them away.
std::optional<std::string> NextLine() {
  static std::string& begun = *new std::string;
  while (true) {
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    instar::Blocking([&] { return poll(&input, 1, -1); });
    char byte;
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    if (byte == '\n') return std::exchange(begun, "");
    begun += byte;
  }
}

void Greet(const std::string& whom) { Say("hello " + whom); }

void Bye() { Say("bye"); }

void Hold() {
  Say("old: holds");
  Say("old: " + NextLine().value_or("end"));
}

void Progress() {}

void FillList(std::vector<std::string>& list, int size) {
  int next = 0;
  instar::ExposedValue expose_list("list", list);
  instar::ExposedValue expose_next("next", next);
  instar::ExposedValue expose_size("size", size);
  while (next < size) {
    if (!NextLine()) return;
    list.push_back(absl::StrCat("old", next++));
    Progress();
  }
}

namespace {

// What the guest does.
enum class Guest { kIsAway, kIsAsked, kIsAtTheEntry, kEnds };
std::mutex guest_lock;
std::condition_variable guest_changed;
Guest guest = Guest::kIsAway;

Guest GuestNow() {
  std::lock_guard<std::mutex> hold(guest_lock);
  return guest;
}

void SetGuest(Guest to) {
  {
    std::lock_guard<std::mutex> hold(guest_lock);
    guest = to;
  }
  guest_changed.notify_all();
}

void AskGuest() {
  SetGuest(Guest::kIsAsked);
  while (true) {
    // Nothing between there and the end of Visit("guest") is a blocking region.
    const Guest now = GuestNow();
    const bool is_blocked = instar::ControlledThreads("guest").at(0).state() ==
                            instar::ThreadState::kBlocked;
    if (now == Guest::kIsAway) return Say("the guest has come");
    // Still there: it has not come and blocked elsewhere meanwhile.
    if (now == Guest::kIsAtTheEntry && is_blocked &&
        GuestNow() == Guest::kIsAtTheEntry) {
      return Say("the guest waits");
    }
    instar::UpdatePoint();
    std::this_thread::yield();
  }
}

}  // namespace

void GuestMain() {
  while (true) {
    {
      std::unique_lock<std::mutex> hold(guest_lock);
      instar::Wait(guest_changed, hold, [] {
        return guest == Guest::kIsAsked || guest == Guest::kEnds;
      });
      if (guest == Guest::kEnds) return;
      guest = Guest::kIsAtTheEntry;
    }
    Visit("guest");
    SetGuest(Guest::kIsAway);
  }
}

void EndGuests() { SetGuest(Guest::kEnds); }

bool DoVisitLine() {
  const std::string line = NextLine().value_or("leave");
  if (line == "again") Visit("host");
  if (line == "guest") AskGuest();
  return line != "leave";
}

void Visit(const std::string& who) {
  Say("old: " + who + " comes");
  if (who == "guest") return;
  while (DoVisitLine()) {
  }
  Say("old: " + who + " leaves");
}

void Talk(int deeper) {
  std::string text = "hello";
  instar::ExposedValue expose_text("text", text);
  if (deeper > 0) {
    Talk(deeper - 1);
  } else {
    Say("talks");
    NextLine();
  }
  Say(absl::StrCat(text, " ", deeper));
}

bool DoLine() {
  const std::optional<std::string> line = NextLine();
  if (!line) return false;
  const std::string word = line->substr(0, line->find(' '));
  const std::string rest =
      word.size() < line->size() ? line->substr(word.size() + 1) : "";
  if (word == "say") Greet(rest);
  if (word == "bye") Bye();
  if (word == "hold") Hold();
  if (word == "list") {
    std::string text = "versions";
    for (const auto& item : items) absl::StrAppend(&text, " ", item->Version());
    Say(text);
  }
  if (word == "use") {
    const auto& item = lazy_items[std::strtoul(rest.c_str(), nullptr, 10)];
    Say(absl::StrCat("version ", item->Version()));
  }
  if (word == "visit") Visit("host");
  if (word == "talk") Talk(2);
  if (word == "fill") {
    std::vector<std::string> list;
    FillList(list, 8);
    Say(absl::StrJoin(list, " "));
  }
  return true;
}

void WorkerMain() {
  int lines = 0;
  instar::ExposedValue expose_lines("lines", lines);
  while (DoLine()) {
    ++lines;
    instar::UpdatePoint();
  }
}

}  // namespace cases

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ginseng/load.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "examples/ginseng/client.h"

namespace ginseng {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kStored = "STORED\r\n";
constexpr std::size_t kValueSize = 100;

// The entries of one client, and what it knows of them.
class Entries {
 public:
  Entries(const LoadOptions& options, int client)
      : step_(options.clients), first_(client) {
    changes_.resize((options.entries - client + step_ - 1) / step_);
  }
  std::size_t size() const { return changes_.size(); }

  std::string Get(std::size_t i) const {
    return absl::StrCat("get ", Key(i), "\r\n");
  }
  std::string Set(std::size_t i) const {
    return absl::StrCat("set ", Key(i), " 0 0 ", kValueSize, "\r\n", Value(i),
                        "\r\n");
  }
  std::string Change(std::size_t i) {
    ++changes_[i];
    return Set(i);
  }
  std::string Expected(std::size_t i) const {
    return absl::StrCat("VALUE ", Key(i), " 0 ", kValueSize, "\r\n", Value(i),
                        "\r\nEND\r\n");
  }

 private:
  std::string Key(std::size_t i) const {
    return absl::StrCat("entry", first_ + i * step_);
  }
  std::string Value(std::size_t i) const {
    std::string value =
        absl::StrCat(Key(i), ", changed ", changes_[i], " times");
    value.resize(kValueSize, '.');
    return value;
  }

  const std::size_t step_, first_;
  std::vector<unsigned> changes_;
};

// Many at a time. False: not all have been stored.
bool Store(const Entries& entries, Client& client) {
  constexpr std::size_t kAtATime = 200;
  for (std::size_t i = 0; i < entries.size();) {
    const std::size_t end = std::min(entries.size(), i + kAtATime);
    std::string requests, expected;
    for (; i < end; ++i) {
      requests += entries.Set(i);
      expected += kStored;
    }
    client.Send(requests);
    if (client.Receive(expected.size()) != expected) return false;
  }
  return true;
}

}  // namespace

Load::Load(int port, const LoadOptions& options)
    : options_(options),
      storing_(options.clients),
      counts_(options.clients),
      has_ended_(options.clients) {
  for (int i = 0; i < options.clients; ++i) {
    threads_.emplace_back(&Load::Work, this, port, i);
  }
  std::unique_lock<std::mutex> hold(lock_);
  changed_.wait(hold, [this] { return storing_ == 0; });
}

void Load::Work(int port, int number) {
  Client client(port);
  Entries entries(options_, number);
  if (!Store(entries, client)) NoteWrong("the entries cannot be stored");
  {
    const std::lock_guard<std::mutex> hold(lock_);
    --storing_;
    changed_.notify_all();
  }
  std::minstd_rand random(static_cast<unsigned>(number) + 1);
  // The clients' requests are due at different times.
  Clock::time_point due =
      Clock::now() + options_.interval * number / options_.clients;
  while (true) {
    std::this_thread::sleep_until(due);
    {
      const std::lock_guard<std::mutex> hold(lock_);
      if (is_stopping_) return;
    }
    const bool is_change = random() % 10 == 0;
    const std::size_t entry = random() % entries.size();
    const std::string request =
        is_change ? entries.Change(entry) : entries.Get(entry);
    const std::string expected =
        is_change ? std::string(kStored) : entries.Expected(entry);
    if (options_.interval.count() == 0) due = Clock::now();
    const std::string answer = client.Ask(request);
    const Clock::time_point now = Clock::now();
    if (answer != expected) {
      NoteWrong(absl::StrCat(request, "was answered by\n", answer,
                             "and not by\n", expected));
    }
    if (answer.empty()) {
      const std::lock_guard<std::mutex> hold(lock_);
      has_ended_[number] = true;
      changed_.notify_all();
      return;
    }
    Note(number, {due, now - due, is_change});
    due += options_.interval;
  }
}

void Load::Note(int client, const Answered& answered) {
  const std::lock_guard<std::mutex> hold(lock_);
  report_.answers.push_back(answered);
  ++counts_[client];
  changed_.notify_all();
}

void Load::NoteWrong(const std::string& what) {
  const std::lock_guard<std::mutex> hold(lock_);
  if (++report_.wrong == 1) report_.first_wrong = what;
}

void Load::AwaitAnswers(std::size_t each) {
  std::unique_lock<std::mutex> hold(lock_);
  const std::vector<std::size_t> before = counts_;
  changed_.wait(hold, [&] {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (!has_ended_[i] && counts_[i] < before[i] + each) return false;
    }
    return true;
  });
}

LoadReport Load::Stop() {
  {
    const std::lock_guard<std::mutex> hold(lock_);
    is_stopping_ = true;
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  std::sort(report_.answers.begin(), report_.answers.end(),
            [](const Answered& a, const Answered& b) { return a.due < b.due; });
  return report_;
}

}  // namespace ginseng

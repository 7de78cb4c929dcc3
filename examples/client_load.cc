// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/client_load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/command_client.h"

namespace site_manager {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kProducts[] = {"chair Brest", "table Brest",
                                     "lamp Nantes"};

std::string NameOf(const std::string& product) {
  return product.substr(0, product.find(' '));
}

}  // namespace

// Each phase lasts as long as it can: until the earliest answer of the other
// version has arrived that cannot belong to an earlier phase.
int FewestChanges(const std::vector<Answered>& answers) {
  std::vector<Answered> left[2];  // those not explained yet, by version
  for (const Answered& a : answers) left[a.with_ratings].push_back(a);
  bool version = false;
  int changes = 0;
  while (!left[!version].empty()) {
    const Clock::time_point end =
        std::min_element(left[!version].begin(), left[!version].end(),
                         [](const Answered& a, const Answered& b) {
                           return a.received < b.received;
                         })
            ->received;
    auto& now = left[version];
    now.erase(std::remove_if(now.begin(), now.end(),
                             [end](const Answered& a) { return a.sent < end; }),
              now.end());
    version = !version;
    ++changes;
  }
  return changes;
}

struct ClientLoad::Client {
  mutable std::mutex lock;  // of all that follows
  mutable std::condition_variable changed;
  std::size_t sent = 0;
  std::size_t answered = 0;
  std::map<std::string, int> ordered;
  std::vector<Answered> ratings;
  std::chrono::nanoseconds longest{};
  std::string error;
};

ClientLoad::ClientLoad(int port, int clients) {
  for (int i = 0; i < clients; ++i) {
    clients_.push_back(std::make_unique<Client>());
    threads_.emplace_back(&ClientLoad::Work, this, std::ref(*clients_.back()),
                          port, i);
  }
}

ClientLoad::~ClientLoad() { Stop(); }

void ClientLoad::Work(Client& client, int port, int number) {
  const auto fail = [&](std::string error) {
    std::lock_guard<std::mutex> lock(client.lock);
    client.error = absl::StrCat("client ", number, ": ", error);
    client.changed.notify_all();
  };
  absl::StatusOr<CommandClient> connection = CommandClient::Connect(port);
  if (!connection.ok()) return fail(connection.status().ToString());
  // Relaxed: the number of commands that still follow does not matter.
  for (unsigned i = static_cast<unsigned>(number);
       !is_stopping_.load(std::memory_order_relaxed); ++i) {
    const std::string product = kProducts[i % 3];
    const bool orders = i % 2 == 0;
    const std::string command =
        orders ? absl::StrCat("order 1 ", product)
               : absl::StrCat("rate ", i % 6, " ", product);
    {
      std::lock_guard<std::mutex> lock(client.lock);
      ++client.sent;
    }
    const Clock::time_point sent = Clock::now();
    const absl::StatusOr<std::string> answer = connection->Ask(command);
    const Clock::time_point received = Clock::now();
    if (!answer.ok()) return fail(answer.status().ToString());
    const bool rated =
        absl::StartsWith(*answer, "rated: " + NameOf(product) + " has ");
    const bool fits =
        orders
            ? absl::StartsWith(*answer, "ordered 1 " + NameOf(product) + ",")
            : rated || absl::StartsWith(*answer, "unknown command; there is:");
    if (!fits) return fail(absl::StrCat("\"", command, "\": ", *answer));
    std::lock_guard<std::mutex> lock(client.lock);
    ++client.answered;
    client.longest =
        std::max<std::chrono::nanoseconds>(client.longest, received - sent);
    if (orders) {
      ++client.ordered[product];
    } else {
      client.ratings.push_back({sent, received, rated});
    }
    client.changed.notify_all();
  }
}

void ClientLoad::AwaitAnswers(int each) const {
  std::vector<std::size_t> goals;
  for (const auto& client : clients_) {
    std::lock_guard<std::mutex> lock(client->lock);
    goals.push_back(client->answered + static_cast<std::size_t>(each));
  }
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    const Client& client = *clients_[i];
    std::unique_lock<std::mutex> lock(client.lock);
    client.changed.wait(lock, [&] {
      return client.answered >= goals[i] || !client.error.empty();
    });
  }
}

LoadReport ClientLoad::Stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  LoadReport report;
  std::vector<Answered> ratings;
  for (const auto& client : clients_) {
    std::lock_guard<std::mutex> lock(client->lock);
    report.sent += client->sent;
    report.answered += client->answered;
    for (const auto& [product, count] : client->ordered) {
      report.ordered[product] += count;
    }
    for (const Answered& rating : client->ratings) {
      ++(rating.with_ratings ? report.rated : report.refused_ratings);
      ratings.push_back(rating);
    }
    report.longest = std::max(report.longest, client->longest);
    if (!client->error.empty()) report.errors.push_back(client->error);
  }
  report.fewest_changes = FewestChanges(ratings);
  return report;
}

}  // namespace site_manager

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/site_manager.h"

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/update_point.h"

namespace site_manager {

Company company;

bool Product::Take(int quantity) {
  if (quantity < 1 || quantity > stock_) return false;
  stock_ -= quantity;
  return true;
}

Product* Site::Find(const std::string& product) {
  for (Product& p : products_) {
    if (p.name() == product) return &p;
  }
  return nullptr;
}

std::string Site::Order(int quantity, const std::string& product) {
  Product* const p = Find(product);
  if (p == nullptr) return "no such product";
  if (!p->Take(quantity)) return "not enough in stock";
  return "ordered, " + std::to_string(p->stock()) + " left";
}

Site* FindSite(const std::string& name) {
  for (Site& site : company.sites) {
    if (site.name() == name) return &site;
  }
  return nullptr;
}

std::string StringOf(Site& site) {
  std::string text = site.name() + ":";
  const char* separator = " ";
  for (const Product& product : site.products()) {
    text += separator + product.name() + " " + std::to_string(product.stock());
    separator = ", ";
  }
  return text;
}

void Print(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

std::vector<std::string> Split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

void FillCompany() {
  std::lock_guard<std::mutex> lock(company.lock);
  Site& brest = company.sites.emplace_back("Brest");
  brest.products().emplace_back("chair", 10);
  brest.products().emplace_back("table", 4);
  Site& nantes = company.sites.emplace_back("Nantes");
  nantes.products().emplace_back("lamp", 7);
}

std::string Order(int quantity, const std::string& product,
                  const std::string& site) {
  Site* const the_site = FindSite(site);
  if (the_site == nullptr) return "no such site";
  return the_site->Order(quantity, product);
}

std::string DoCommand(const std::string& command) {
  const std::vector<std::string> opers = Split(command);
  if (opers.size() == 4 && opers[0] == "order") {
    return Order(std::atoi(opers[1].c_str()), opers[2], opers[3]);
  }
  return "unknown command";
}

void SiteManagerMain(std::chrono::milliseconds period) {
  instar::ExposedValue expose_period("period", period);
  while (true) {
    {
      std::lock_guard<std::mutex> lock(company.lock);
      for (Site& site : company.sites) Print(StringOf(site));
    }
    instar::SleepFor(period);
  }
}

namespace {

// A descriptor that is closed when it goes, by a reboot too.
class Connection {
 public:
  explicit Connection(int descriptor) : descriptor_(descriptor) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(descriptor_); }

  // Up to the end of a line, or of what comes.
  std::string Receive() {
    std::string text;
    char buffer[512];
    while (text.find('\n') == std::string::npos) {
      const ssize_t got = instar::Blocking(
          [&] { return recv(descriptor_, buffer, sizeof(buffer), 0); });
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }
  void Send(const std::string& text) {
    // A client that has gone misses its answer.
    static_cast<void>(
        send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL));
  }

 private:
  const int descriptor_;
};

}  // namespace

void SocketMain(int listener) {
  while (true) {
    const int accepted =
        instar::Blocking([&] { return accept(listener, nullptr, nullptr); });
    if (accepted < 0) continue;
    Connection connection(accepted);
    const std::string command = connection.Receive();
    instar::UpdatePoint();
    std::string answer;
    {
      std::lock_guard<std::mutex> lock(company.lock);
      answer = DoCommand(command);
    }
    connection.Send(answer + "\n");
    instar::UpdatePoint();
  }
}

}  // namespace site_manager

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The example of PyMoult (HotSWUP'13), section 3, figure 3: products in stock
// at several sites. One thread displays the sites from time to time, another
// takes orders over a socket.
//
// The differences from the paper's: the port is chosen by the system, the
// answers to commands are sent back, and a lock keeps the two threads from
// each other's data.

#ifndef INSTAR_EXAMPLES_SITE_MANAGER_H_
#define INSTAR_EXAMPLES_SITE_MANAGER_H_

#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace site_manager {

class Product {
 public:
  Product(std::string name, int stock)
      : name_(std::move(name)), stock_(stock) {}

  const std::string& name() const { return name_; }
  int stock() const { return stock_; }
  // False if there are not so many.
  bool Take(int quantity);

 private:
  std::string name_;
  int stock_;
};

class Site {
 public:
  explicit Site(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  std::deque<Product>& products() { return products_; }
  Product* Find(const std::string& product);
  std::string Order(int quantity, const std::string& product);

 private:
  std::string name_;
  std::deque<Product> products_;
};

struct Company {
  std::mutex lock;  // of all that follows
  std::deque<Site> sites;
};
extern Company company;

// With company.lock held. Null if there is none.
Site* FindSite(const std::string& name);

// "Brest: chair 10, table 4"
std::string StringOf(Site& site);

// One line at once to standard output.
void Print(const std::string& line);

// The words of a command.
std::vector<std::string> Split(const std::string& text);

void FillCompany();

// "order 2 chair Brest"; returns the answer. With company.lock held.
std::string DoCommand(const std::string& command);

// The main functions of the threads. Neither returns.
void SiteManagerMain(std::chrono::milliseconds period);
void SocketMain(int listener);

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_SITE_MANAGER_H_

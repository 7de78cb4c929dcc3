// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The example of PyMoult (HotSWUP'13), section 3, figure 3: products in stock
// at several sites. One thread displays the sites from time to time, another
// takes orders over a socket (examples/command_server.h).
//
// Written so that it can be updated while it runs, which shows in three places:
// the classes derive from Updatable, products are held by LazyUnique, and the
// socket thread says where it may be updated. The display thread is active: it
// says nothing. That DoCommand() is declared by a macro is for processors where
// functions have no entries that can be redirected (docs/processors.md).
//
// What the paper leaves to the reader is complete here: the classes, a lock
// that keeps the two threads from each other's data, answers that go back to
// the client, an end of the program.

#ifndef INSTAR_EXAMPLES_SITE_MANAGER_H_
#define INSTAR_EXAMPLES_SITE_MANAGER_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "code/updatable_function.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"

namespace site_manager {

class Product : public instar::Updatable<Product> {
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

class Site : public instar::Updatable<Site> {
 public:
  explicit Site(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  const std::vector<instar::LazyUnique<Product>>& products() const {
    return products_;
  }
  void Add(std::string product, int stock);
  // Null if there is none. The pointer is not kept.
  Product* Find(const std::string& product);
  // The answer to who ordered.
  std::string Order(const std::string& product, int quantity);

 private:
  std::string name_;
  std::vector<instar::LazyUnique<Product>> products_;
};

struct Company {
  std::mutex lock;  // of the sites and their products
  std::vector<std::unique_ptr<Site>> sites;
  std::chrono::milliseconds display_period{10000};  // set before the threads
};
extern Company company;

// Two sites with so many of each product.
void FillCompany(int stock);

// With company.lock held. Null if there is none.
Site* GetSiteByName(const std::string& name);

// "Brest: chair 10, table 10".
std::string StringOf(const Site& site);

// A text in one piece to standard output.
void Print(const std::string& text);

// The words of a command.
std::vector<std::string> Split(const std::string& text);

// "order QUANTITY PRODUCT SITE"; what it answers. With company.lock held.
INSTAR_UPDATABLE_FUNCTION(std::string, DoCommand, (const std::string& command));
std::string Order(int quantity, const std::string& product,
                  const std::string& site);

// The main functions of the threads; they return when the program ends. The
// listener is one of examples/command_server.h.
void SiteManagerMain();
void SocketMain(int listener);

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_SITE_MANAGER_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/site_manager.h"

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "examples/command_server.h"
#include "examples/ending.h"
#include "threads/update_point.h"

namespace site_manager {

Company company;

bool Product::Take(int quantity) {
  if (quantity > stock_) return false;
  stock_ -= quantity;
  return true;
}

void Site::Add(std::string product, int stock) {
  products_.emplace_back(std::make_unique<Product>(std::move(product), stock));
}

Product* Site::Find(const std::string& product) {
  for (const auto& p : products_) {
    if (p->name() == product) return p.get();
  }
  return nullptr;
}

std::string Site::Order(const std::string& product, int quantity) {
  Product* const p = Find(product);
  if (p == nullptr) return absl::StrCat("no such product: ", product);
  if (quantity < 1) return "order one at least";
  if (!p->Take(quantity)) {
    return absl::StrCat("only ", p->stock(), " ", product, " left");
  }
  return absl::StrCat("ordered ", quantity, " ", product, ", ", p->stock(),
                      " left");
}

void FillCompany(int stock) {
  std::lock_guard<std::mutex> lock(company.lock);
  auto& brest = company.sites.emplace_back(std::make_unique<Site>("Brest"));
  brest->Add("chair", stock);
  brest->Add("table", stock);
  auto& nantes = company.sites.emplace_back(std::make_unique<Site>("Nantes"));
  nantes->Add("lamp", stock);
}

Site* GetSiteByName(const std::string& name) {
  for (const auto& site : company.sites) {
    if (site->name() == name) return site.get();
  }
  return nullptr;
}

std::string StringOf(const Site& site) {
  std::string text = site.name() + ":";
  const char* separator = " ";
  for (const auto& product : site.products()) {
    absl::StrAppend(&text, separator, product->name(), " ", product->stock());
    separator = ", ";
  }
  return text;
}

void Print(const std::string& text) {
  // Not by stdio: a thread that is held here owns no lock.
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote =
        write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (wrote >= 0) {
      done += static_cast<std::size_t>(wrote);
    } else if (errno != EINTR) {
      return;  // nobody reads it any more
    }
  }
}

std::vector<std::string> Split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::string Order(int quantity, const std::string& product,
                  const std::string& site) {
  Site* const the_site = GetSiteByName(site);
  if (the_site == nullptr) return absl::StrCat("no such site: ", site);
  return the_site->Order(product, quantity);
}

INSTAR_UPDATABLE_FUNCTION_BODY(std::string, DoCommand,
                               (const std::string& command)) {
  const std::vector<std::string> opers = Split(command);
  int quantity = 0;
  if (opers.size() == 4 && opers[0] == "order" &&
      absl::SimpleAtoi(opers[1], &quantity)) {
    return Order(quantity, opers[2], opers[3]);
  }
  return "unknown command; there is: order QUANTITY PRODUCT SITE";
}

void SiteManagerMain() {
  do {
    std::string text;
    {
      std::lock_guard<std::mutex> lock(company.lock);
      for (const auto& site : company.sites) text += StringOf(*site) + "\n";
    }
    Print(text + "\n");
  } while (ending.SleepFor(company.display_period));
}

void SocketMain(int listener) {
  CommandServer server(listener);
  while (std::optional<CommandServer::Command> command = server.Next()) {
    instar::UpdatePoint("before a command");
    std::string answer;
    {
      std::lock_guard<std::mutex> lock(company.lock);
      answer = DoCommand(command->text);
    }
    server.Answer(*command, answer);
    instar::UpdatePoint("after a command");
  }
}

}  // namespace site_manager

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An update of the site manager: products can be rated (PyMoult (HotSWUP'13),
// figures 5 and 6). DoCommand() is redefined in the socket thread, and the
// display thread is rebooted with a function that shows the marks. The classes
// stay as they are, so the marks are kept beside the products.

#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "examples/site_manager.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/update_request.h"
#include "updates/reboot_thread.h"
#include "updates/safe_redefine.h"

namespace site_manager {
namespace {

struct Marks {
  int votes = 0;
  double mark = 0;
};
// By site and product; under company.lock.
std::map<std::pair<std::string, std::string>, Marks> marks;

std::string Rate(double mark, const std::string& product,
                 const std::string& site) {
  Site* const the_site = FindSite(site);
  if (the_site == nullptr || the_site->Find(product) == nullptr) {
    return "no such product";
  }
  Marks& m = marks[{site, product}];
  m.mark = (m.mark * m.votes + mark) / (m.votes + 1);
  ++m.votes;
  return "rated, " + std::to_string(m.votes) + " votes";
}

std::string NewDoCommand(const std::string& command) {
  const std::vector<std::string> operands = Split(command);
  if (operands.size() == 4 && operands[0] == "order") {
    Site* const site = FindSite(operands[3]);
    if (site == nullptr) return "no such site";
    return site->Order(std::atoi(operands[1].c_str()), operands[2]);
  }
  if (operands.size() == 4 && operands[0] == "rate") {
    return Rate(std::atof(operands[1].c_str()), operands[2], operands[3]);
  }
  return "unknown command";
}

void NewSiteManagerMain(std::chrono::milliseconds period) {
  while (true) {
    {
      std::lock_guard<std::mutex> lock(company.lock);
      for (Site& site : company.sites) {
        std::string text = StringOf(site);
        for (const auto& [key, m] : marks) {
          if (key.first != site.name()) continue;
          text += "; " + key.second + " has mark " +
                  std::to_string(static_cast<int>(m.mark + 0.5));
        }
        Print(text);
      }
    }
    instar::SleepFor(period);
  }
}

}  // namespace
}  // namespace site_manager

#ifdef __clang__  // its caller is C++: only the name is C's
#pragma clang diagnostic ignored "-Wreturn-type-c-linkage"
#endif
extern "C" absl::Status UpdateSiteManager(const instar::ThreadRef& display,
                                          const instar::ThreadRef& commands) {
  constexpr std::chrono::seconds kLimit(60);
  instar::SafeRedefinition redefinition = instar::SafeRedefine(
      &site_manager::DoCommand, &site_manager::NewDoCommand);
  INSTAR_RETURN_IF_ERROR(redefinition.Prepare());
  instar::UpdateRequest socket_update =
      instar::SetUpdateFunction(commands, redefinition);
  instar::UpdateRequest manager_update = instar::SetUpdateFunction(
      display,
      instar::RebootThreadWith(
          &site_manager::NewSiteManagerMain,
          [](instar::UpdateContext&) {
            return instar::ReadExposed<std::chrono::milliseconds>("period");
          }),
      instar::kRebootOptions);
  socket_update.Trigger();
  manager_update.Trigger();
  site_manager::Print("update: triggered");
  INSTAR_RETURN_IF_ERROR(manager_update.Await(kLimit));
  site_manager::Print("update: display rebooted");
  // At the next command.
  return socket_update.Await(kLimit);
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the update add_ratings brings: the next versions of the classes and the
// commands of PyMoult (HotSWUP'13), figure 5. Products can be rated, and a site
// has the mean of the marks of its products.
//
// Both forms of the update, add_ratings.cc and add_ratings_per_thread.cc, are
// made of it, and show_ratings uses the classes.

#ifndef INSTAR_EXAMPLES_RATINGS_H_
#define INSTAR_EXAMPLES_RATINGS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "examples/site_manager.h"

namespace instar {
class UpdatePlan;
}

namespace site_manager {

struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}

  void GiveMark(double mark);

  double mark = 0;  // the mean of the votes
  int votes = 0;
};

struct SiteV2 : Site {
  explicit SiteV2(Site&& old) noexcept : Site(std::move(old)) {}

  // The answer to who rated.
  std::string MarkProduct(const std::string& product, double mark);
  void UpdateMark();

  double mark = 0;  // the mean of the products that have been rated
};

// "4.0 of 2 votes", "no votes".
std::string MarkOf(const ProductV2& product);

// "order ..." as before, and "rate MARK PRODUCT SITE". With company.lock held.
std::string NewDoCommand(const std::string& command);

// The update (examples/add_ratings.cc).
absl::Status AddRatings(instar::UpdatePlan& plan);

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_RATINGS_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ratings.h"

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "examples/site_manager.h"
#include "heap/class_version.h"

namespace site_manager {
namespace {

std::string Rate(double mark, const std::string& product,
                 const std::string& site) {
  Site* const the_site = GetSiteByName(site);
  if (the_site == nullptr) return absl::StrCat("no such site: ", site);
  if (!(mark >= 0 && mark <= 5)) return "marks are from 0 to 5";
  return instar::version_cast<SiteV2>(the_site)->MarkProduct(product, mark);
}

}  // namespace

void ProductV2::GiveMark(double new_mark) {
  mark = (mark * votes + new_mark) / (votes + 1);
  ++votes;
}

std::string SiteV2::MarkProduct(const std::string& product, double new_mark) {
  ProductV2* const p = instar::version_cast<ProductV2>(Find(product));
  if (p == nullptr) return absl::StrCat("no such product: ", product);
  p->GiveMark(new_mark);
  UpdateMark();
  return absl::StrFormat("rated: %s has %s, %s %.1f", product, MarkOf(*p),
                         name(), mark);
}

void SiteV2::UpdateMark() {
  double sum = 0;
  int rated = 0;
  for (const auto& product : products()) {
    const auto* p = instar::version_cast<ProductV2>(product.get());
    if (p->votes == 0) continue;
    sum += p->mark;
    ++rated;
  }
  mark = rated == 0 ? 0 : sum / rated;
}

std::string MarkOf(const ProductV2& product) {
  if (product.votes == 0) return "no votes";
  return absl::StrFormat("%.1f of %d vote%s", product.mark, product.votes,
                         product.votes == 1 ? "" : "s");
}

std::string NewDoCommand(const std::string& command) {
  const std::vector<std::string> operands = Split(command);
  if (operands.size() == 4 && operands[0] == "order") {
    int quantity = 0;
    if (absl::SimpleAtoi(operands[1], &quantity)) {
      return Order(quantity, operands[2], operands[3]);
    }
  }
  if (operands.size() == 4 && operands[0] == "rate") {
    double mark = 0;
    if (absl::SimpleAtod(operands[1], &mark)) {
      return Rate(mark, operands[2], operands[3]);
    }
  }
  return "unknown command; there are: order QUANTITY PRODUCT SITE, "
         "rate MARK PRODUCT SITE";
}

}  // namespace site_manager

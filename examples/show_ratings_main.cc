// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/show_ratings_main.h"

#include <mutex>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "examples/ending.h"
#include "examples/ratings.h"
#include "examples/site_manager.h"
#include "heap/class_version.h"

namespace site_manager {

std::string StringWithMarksOf(const SiteV2& site) {
  std::string text = absl::StrFormat("%s, mark %.1f:", site.name(), site.mark);
  const char* separator = " ";
  for (const auto& product : site.products()) {
    const auto* p = instar::version_cast<ProductV2>(product.get());
    absl::StrAppend(&text, separator, p->name(), " ", p->stock(), " (",
                    MarkOf(*p), ")");
    separator = ", ";
  }
  return text;
}

void NewSiteManagerMain() {
  do {
    std::string text;
    {
      std::lock_guard<std::mutex> lock(company.lock);
      for (const auto& site : company.sites) {
        const auto* s = instar::version_cast<SiteV2>(site.get());
        text += StringWithMarksOf(*s) + "\n";
      }
    }
    Print(text + "\n");
  } while (ending.SleepFor(company.display_period));
}

}  // namespace site_manager

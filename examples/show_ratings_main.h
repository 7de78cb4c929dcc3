// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the update show_ratings brings: the display thread's next main function,
// of PyMoult (HotSWUP'13), figure 6.

#ifndef INSTAR_EXAMPLES_SHOW_RATINGS_MAIN_H_
#define INSTAR_EXAMPLES_SHOW_RATINGS_MAIN_H_

#include <string>

#include "examples/ratings.h"

namespace site_manager {

// "Brest, mark 4.0: chair 10 (4.0 of 2 votes), table 10 (no votes)".
std::string StringWithMarksOf(const SiteV2& site);

void NewSiteManagerMain();

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_SHOW_RATINGS_MAIN_H_

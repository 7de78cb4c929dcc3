// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the program knows of its library, in all builds. What a product is, only
// the library knows.

#ifndef INSTAR_TOOLS_DIFFER_CONVERT_TEST_SHOP_H_
#define INSTAR_TOOLS_DIFFER_CONVERT_TEST_SHOP_H_

#include <string>

namespace shop {

void Add(int price);
void RemoveLast();
std::string Describe();
// With one that is a member of something.
void AddBundle();
void RemoveBundle();
int visitors();

}  // namespace shop

#endif  // INSTAR_TOOLS_DIFFER_CONVERT_TEST_SHOP_H_

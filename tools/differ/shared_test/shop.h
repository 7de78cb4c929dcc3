// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the library gives its program, and the program its plug-in.

#ifndef INSTAR_TOOLS_DIFFER_SHARED_TEST_SHOP_H_
#define INSTAR_TOOLS_DIFFER_SHARED_TEST_SHOP_H_

#include <string>

// Of the library. The program reads the variable without asking where it is:
// the linker then gives the program one of its own, which the library uses.
extern int shop_sold;
int shop_buy(int count);
std::string shop_report();
// The program has its own, which the library calls, too.
int shop_discount(int price);
// Nobody else has one.
int shop_tax(int price);

// Somebody is inside until `wait` returns.
int shop_serve(int (*wait)());

// Of the program, for the plug-in.
extern "C" int host_note(const char* what);

#endif  // INSTAR_TOOLS_DIFFER_SHARED_TEST_SHOP_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_TOOLS_DIFFER_UPDATE_TEST_SHOP_H_
#define INSTAR_TOOLS_DIFFER_UPDATE_TEST_SHOP_H_

#include <string>
struct Base {
  virtual int price(int item);
  virtual ~Base();
};
std::string report();        // changed in new/
void bump();                 // unchanged: changes the file-static counter
int classify(int x);         // changed: switch with a jump table
int guarded();               // changed: function-local static with a guard
int catches(int x);          // changed: throws and catches, lambda
int thrower(int x);          // changed: an exception goes through it
int rare(int x);             // changed: has a .cold part
int use_inline(int x);       // unchanged text, calls a changed COMDAT function
int thread_calls();          // changed: file-static thread_local
int use_callback(int x);     // changed: takes the address of static functions
int virtual_total(Base* b);  // changed: virtual calls
int total_of_table(int i);   // changed by a changed const table only
Base* make_local();          // unchanged: a class of an anonymous namespace
int is_local(
    Base* b);  // changed: dynamic_cast to that class, catches its exception
extern "C" int c_step(int x);  // legacy.c
extern "C" int c_name(int x);
extern "C" int a_util(int), b_util(int);
int other_count();                     // other.cc
void call_back(int (*f)(int), int x);  // main.cc: stays as it is
extern thread_local int shared_tls;
std::string global_text();
extern long ro_table[];
extern int first_of_pair, second_of_pair;  // other.cc
int pair();                                // changed

#endif  // INSTAR_TOOLS_DIFFER_UPDATE_TEST_SHOP_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/return_type_functions_for_test.h"

namespace returns {

void Nothing(int) {}
void NothingEither(int) {}
int Int(int i) { return i; }
int AnotherInt(int i) { return i + 1; }
unsigned Unsigned(int i) { return static_cast<unsigned>(i); }
long Long(int i) { return i; }
std::string String(int i) { return std::to_string(i); }
std::string AnotherString(int) { return ""; }
std::unique_ptr<std::string> Owner(int) { return nullptr; }
const char* Text(int) { return ""; }
char* MutableText(int) { return nullptr; }
Point MakePoint(int i) { return {i, i}; }
Point* FindPoint(int) { return nullptr; }
int (*Callback(int))(const Point&) { return nullptr; }
Point Shop::Where(int i) const { return {i, 0}; }

}  // namespace returns

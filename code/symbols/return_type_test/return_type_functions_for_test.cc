// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/return_type_test/return_type_functions_for_test.h"

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

std::div_t DivideInC(int i) { return {i, i}; }
std::div_t DivideInCAgain(int i) { return {i, 0}; }
Parts Divide(int i) { return {i, i}; }
Parts DivideAgain(int i) { return {i, 0}; }
Parts* FindParts(int) { return nullptr; }
OtherParts DivideOtherwise(int i) { return {i, i}; }
const int ConstInt(int i) { return i; }            // NOLINT
const Point ConstPoints(int i) { return {i, i}; }  // NOLINT
ConstPoint NamedConstPoints(int i) { return {i, i}; }

namespace {

void Refuse(int i) {
  if (i < 0) throw i;
}

}  // namespace

// What is done when an exception passes stands apart from the rest.
__attribute__((optimize("O2"), noinline)) std::string Split(int i) {
  std::string text(static_cast<std::size_t>(i & 7), 'x');
  Refuse(i);
  return text;
}

}  // namespace returns

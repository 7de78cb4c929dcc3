// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_CODE_SYMBOLS_RETURN_TYPE_TEST_RETURN_TYPE_FUNCTIONS_FOR_TEST_H_
#define INSTAR_CODE_SYMBOLS_RETURN_TYPE_TEST_RETURN_TYPE_FUNCTIONS_FOR_TEST_H_

#include <cstdlib>
#include <memory>
#include <string>

namespace returns {

struct Point {
  int x, y;
};

void Nothing(int);
void NothingEither(int);
int Int(int);
int AnotherInt(int);
unsigned Unsigned(int);
long Long(int);
std::string String(int);
std::string AnotherString(int);
std::unique_ptr<std::string> Owner(int);
const char* Text(int);
char* MutableText(int);
Point MakePoint(int);
Point* FindPoint(int);
int (*Callback(int))(const Point&);

// What a C library has, and what some write.
typedef struct {
  int whole, rest;
} Parts;
typedef struct {
  int whole, rest;
} OtherParts;
typedef const Point ConstPoint;
std::div_t DivideInC(int);
std::div_t DivideInCAgain(int);
Parts Divide(int);
Parts DivideAgain(int);
Parts* FindParts(int);
OtherParts DivideOtherwise(int);
const int ConstInt(int);       // NOLINT: so it was written
const Point ConstPoints(int);  // NOLINT
ConstPoint NamedConstPoints(int);

// The compiler makes two parts of it.
std::string Split(int);

class Shop {
 public:
  Point Where(int) const;
};

}  // namespace returns

#endif  // INSTAR_CODE_SYMBOLS_RETURN_TYPE_TEST_RETURN_TYPE_FUNCTIONS_FOR_TEST_H_

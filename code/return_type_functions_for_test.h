// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_CODE_RETURN_TYPE_FUNCTIONS_FOR_TEST_H_
#define INSTAR_CODE_RETURN_TYPE_FUNCTIONS_FOR_TEST_H_

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

class Shop {
 public:
  Point Where(int) const;
};

}  // namespace returns

#endif  // INSTAR_CODE_RETURN_TYPE_FUNCTIONS_FOR_TEST_H_

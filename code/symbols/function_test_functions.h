// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions of every kind, for the tests of //code/symbols:function to find.

#ifndef INSTAR_CODE_SYMBOLS_FUNCTION_TEST_FUNCTIONS_H_
#define INSTAR_CODE_SYMBOLS_FUNCTION_TEST_FUNCTIONS_H_

#include <cstdint>
#include <string>

namespace found {

int Free(int x);
int Overloaded(int x);
double Overloaded(double x);
int TakesString(const std::string& text);
int NoThrow(int x) noexcept;
int Variadic(int count, ...);

template <typename T>
[[gnu::noinline]] T Twice(T x) {
  asm volatile("");
  return x + x;
}
template <typename T, int kTimes>
[[gnu::noinline]] T Times(T x) {
  asm volatile("");
  return x * kTimes;
}
extern template int Twice<int>(int);
extern template long Twice<long>(long);
extern template int Times<int, 3>(int);

class Base {
 public:
  virtual ~Base();
  virtual int Virtual() const;
  virtual int Pure() = 0;
  int Plain(int x);
  int Constant(int x) const;
  static int Static(int x);
  int operator()(int x) const;
  bool operator<(const Base& other) const;
  explicit operator int() const;
};

class Other {
 public:
  virtual ~Other();
  virtual int Second() const;
};

class Derived : public Base, public Other {
 public:
  ~Derived() override;
  int Virtual() const override;
  int Pure() override;
  int Second() const override;
};

class VirtualBase : public virtual Other {
 public:
  ~VirtualBase() override;
  virtual int First() const;
  int Second() const override;
};

// What lies in anonymous namespaces, file-local functions and lambdas, by way
// of their addresses.
uintptr_t AnonymousEntry();
uintptr_t FileLocalEntry();       // found::FileLocal(int), one of two
uintptr_t OtherFileLocalEntry();  // the other one
uintptr_t LambdaEntry();
const Base* MakeAnonymousDerived();

extern "C" int FoundPlainC(int x);
extern "C" int FoundAlias(int x);     // an alias of FoundPlainC
extern "C" int FoundIndirect(int x);  // an IFUNC that leads to FoundPlainC

// Throws on a path marked cold, so that the compiler makes a `.cold` part.
int HasColdPart(int x);
// The addresses of the first and of the last instruction of the cold path.
uintptr_t ColdPathAddress();

}  // namespace found

#endif  // INSTAR_CODE_SYMBOLS_FUNCTION_TEST_FUNCTIONS_H_

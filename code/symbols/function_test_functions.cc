// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/function_test_functions.h"

#include <cstdarg>

namespace found {
namespace {

[[gnu::noinline]] int Anonymous(int x) {
  asm volatile("");
  return x + 1;
}

class AnonymousDerived final : public Derived {
 public:
  int Virtual() const override { return 4; }
};

uintptr_t cold_path_address = 0;

}  // namespace

[[gnu::noinline]] static int FileLocal(int x) {
  asm volatile("");
  return x + 2;
}

int Free(int x) { return x + 3; }
int Overloaded(int x) { return x + 4; }
double Overloaded(double x) { return x + 5; }
int TakesString(const std::string& text) {
  return static_cast<int>(text.size());
}
int NoThrow(int x) noexcept { return x + 6; }
int Variadic(int count, ...) {
  va_list arguments;
  va_start(arguments, count);
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += va_arg(arguments, int);
  va_end(arguments);
  return sum;
}

template int Twice<int>(int);
template long Twice<long>(long);
template int Times<int, 3>(int);

Base::~Base() = default;
int Base::Virtual() const { return 1; }
int Base::Plain(int x) { return x + 7; }
int Base::Constant(int x) const { return x + 8; }
int Base::Static(int x) { return x + 9; }
int Base::operator()(int x) const { return x + 10; }
bool Base::operator<(const Base& other) const { return this < &other; }
Base::operator int() const { return 11; }

Other::~Other() = default;
int Other::Second() const { return 2; }

Derived::~Derived() = default;
int Derived::Virtual() const { return 3; }
int Derived::Pure() { return 5; }
int Derived::Second() const { return 6; }

VirtualBase::~VirtualBase() = default;
int VirtualBase::First() const { return 7; }
int VirtualBase::Second() const { return 8; }

uintptr_t AnonymousEntry() { return reinterpret_cast<uintptr_t>(&Anonymous); }
uintptr_t FileLocalEntry() { return reinterpret_cast<uintptr_t>(&FileLocal); }
uintptr_t LambdaEntry() {
  const auto lambda = [](int x) __attribute__((noinline)) {
    asm volatile("");
    return x + 12;
  };
  // The pointer leads to a function that calls the lambda's operator().
  auto member = &decltype(lambda)::operator();
  uintptr_t entry;
  static_assert(sizeof(member) == 2 * sizeof(entry));
  __builtin_memcpy(&entry, &member, sizeof(entry));
  return entry;
}

const Base* MakeAnonymousDerived() { return new AnonymousDerived; }

extern "C" int FoundPlainC(int x) { return x + 13; }
extern "C" __attribute__((alias("FoundPlainC"))) int FoundAlias(int x);
extern "C" int (*FoundChooseIndirect())(int) { return &FoundPlainC; }
extern "C" __attribute__((ifunc("FoundChooseIndirect"))) int FoundIndirect(
    int x);

[[gnu::cold, gnu::noinline]] static void NoteAddress() {
  cold_path_address = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
}

int HasColdPart(int x) {
  if (x < 0) {
    NoteAddress();
    throw x;
  }
  return Free(x) * 2;
}

uintptr_t ColdPathAddress() { return cold_path_address - 1; }

}  // namespace found

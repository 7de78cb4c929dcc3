// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/updatable_functions_for_test.h"

#include <cstdarg>

namespace instar {
namespace code_test {

int Answer(int a) { return 100 + a; }
int Answer2(int a) { return 200 + a; }
int Answer3(int a) { return 300 + a; }

__attribute__((patchable_function_entry(0))) int NotUpdatable(int a) {
  return a;
}

namespace {

__attribute__((always_inline)) inline int Inlined(int a) {
  volatile int result = a * 7;
  return result;
}

// Taking the address makes the compiler emit the function as well.
int (*volatile inlined)(int) = &Inlined;

}  // namespace

uintptr_t InlinedEntry() { return reinterpret_cast<uintptr_t>(inlined); }

int UseInlined(int a) { return Inlined(a) + 1; }

namespace {

int noted = 0;
int file_local_calls = 0;

// It leaves `noted` alone, which its next version does not.
[[gnu::noinline]] void FileLocal(int a) { file_local_calls += a; }

}  // namespace

void (*FileLocalEntry())(int) { return &FileLocal; }
void FileLocal2(int a) { noted = -a; }
int NotedAround(int a) {
  noted = a;
  FileLocal(a + 1);
  return noted;
}

double Many(int a, int b, int c, int d, int e, int f, int g, int h, double s,
            double t, double u, double v, double w, double x, double y,
            double z, double p, double q) {
  return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * s +
         10 * t + 11 * u + 12 * v + 13 * w + 14 * x + 15 * y + 16 * z + 17 * p +
         18 * q;
}
double Many2(int a, int b, int c, int d, int e, int f, int g, int h, double s,
             double t, double u, double v, double w, double x, double y,
             double z, double p, double q) {
  return -(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * s +
           10 * t + 11 * u + 12 * v + 13 * w + 14 * x + 15 * y + 16 * z +
           17 * p + 18 * q);
}

Small PassSmall(Small small) { return {small.a + 1, small.b + 1}; }
Small PassSmall2(Small small) { return {small.a + 2, small.b + 2}; }
Large PassLarge(Large large) {
  for (int64_t& value : large.values) value += 1;
  return large;
}
Large PassLarge2(Large large) {
  for (int64_t& value : large.values) value += 2;
  return large;
}

int SumVariadic(int count, ...) {
  va_list list;
  va_start(list, count);
  double sum = 0;
  for (int i = 0; i < count; ++i)
    sum += va_arg(list, int) + va_arg(list, double);
  va_end(list);
  return static_cast<int>(sum);
}
int SumVariadic2(int count, ...) {
  va_list list;
  va_start(list, count);
  double sum = 0;
  for (int i = 0; i < count; ++i)
    sum += va_arg(list, int) + va_arg(list, double);
  va_end(list);
  return static_cast<int>(-sum);
}

__m256i AddVectors(__m256i a, __m256i b) { return _mm256_add_epi64(a, b); }
__m256i SubtractVectors(__m256i a, __m256i b) { return _mm256_sub_epi64(a, b); }
__m512i AddWide(__m512i a, __m512i b) { return _mm512_add_epi64(a, b); }

int64_t RedZone(int64_t a) {
  volatile int64_t locals[8];
  for (int i = 0; i < 8; ++i) locals[i] = a + i;
  int64_t sum = 0;
  for (int i = 0; i < 8; ++i) sum += locals[i];
  return sum;
}
int64_t RedZone2(int64_t a) {
  volatile int64_t locals[8];
  for (int i = 0; i < 8; ++i) locals[i] = a + i;
  int64_t sum = 0;
  for (int i = 0; i < 8; ++i) sum += locals[i];
  return -sum;
}

// The compiler may inline a function into itself, whatever the linkage.
__attribute__((noinline)) int Depth(int n, int when,
                                    const std::function<void()>& at) {
  if (n == when) at();
  if (n == 0) return 0;
  const int below = Depth(n - 1, when, at);
  // Or the compiler makes a loop of the recursion, which enters nothing.
  asm volatile("" ::: "memory");
  return 1 + below;
}
__attribute__((noinline)) int Depth2(int n, int when,
                                     const std::function<void()>& at) {
  if (n == when) at();
  if (n == 0) return 0;
  const int below = Depth(n - 1, when, at);
  // Or the compiler makes a loop of the recursion, which enters nothing.
  asm volatile("" ::: "memory");
  return 1000 + below;
}

void Throw(int value) { throw Thrown{value}; }
void Throw2(int value) { throw Thrown{-value}; }

namespace {
thread_local int t_value = 0;
}  // namespace
int& ThreadLocal() { return t_value; }
int& ThreadLocal2() {
  t_value += 10;
  return t_value;
}

int Shape::Area(int scale) const { return size * size * scale; }
int Shape::Perimeter(int scale) { return 4 * size * scale; }
int NewArea(const Shape* shape, int scale) { return -shape->size * scale; }
int NewPerimeter(Shape* shape, int scale) { return -4 * shape->size * scale; }

namespace {

struct Cleanup {
  ~Cleanup() { ++*destroyed; }
  int* destroyed;
};

}  // namespace

int CallWithCleanup(int* destroyed) {
  Cleanup cleanup{destroyed};
  return Answer(1) + 1;
}

void LoopForEver(int* destroyed) {
  Cleanup cleanup{destroyed};
  for (int i = 0;; i = (i + 1) & 7) {
    if (Answer(i) % 100 != i) return;
  }
}

}  // namespace code_test
}  // namespace instar

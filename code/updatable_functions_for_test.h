// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions compiled as updatable code is, in versions, for the tests of
// function entries.

#ifndef INSTAR_CODE_UPDATABLE_FUNCTIONS_FOR_TEST_H_
#define INSTAR_CODE_UPDATABLE_FUNCTIONS_FOR_TEST_H_

#include <immintrin.h>

#include <cstdint>
#include <functional>
#include <string>

namespace instar {
namespace code_test {

// Version N returns 100 * N + a.
int Answer(int a);
int Answer2(int a);
int Answer3(int a);

int NotUpdatable(int a);
int UseInlined(int a);  // holds a copy of a file-local function
uintptr_t InlinedEntry();

// Many parameters: version 2 gives the negative of version 1.
// NotedAround(a) writes a file-local variable, calls FileLocal(a + 1), and
// returns what the variable is then: a, and -(a + 1) with FileLocal2().
void (*FileLocalEntry())(int);
void FileLocal2(int a);
int NotedAround(int a);

double Many(int a, int b, int c, int d, int e, int f, int g, int h, double s,
            double t, double u, double v, double w, double x, double y,
            double z, double p, double q);
double Many2(int a, int b, int c, int d, int e, int f, int g, int h, double s,
             double t, double u, double v, double w, double x, double y,
             double z, double p, double q);

struct Small {
  int a;
  double b;
};
struct Large {
  int64_t values[20];
};
Small PassSmall(Small small);
Small PassSmall2(Small small);
Large PassLarge(Large large);
Large PassLarge2(Large large);
int SumVariadic(int count, ...);
int SumVariadic2(int count, ...);

// Needs AVX2, or AVX-512F.
__attribute__((target("avx2"))) __m256i AddVectors(__m256i a, __m256i b);
__attribute__((target("avx2"))) __m256i SubtractVectors(__m256i a, __m256i b);
__attribute__((target("avx512f"))) __m512i AddWide(__m512i a, __m512i b);

// A leaf that keeps its locals in the red zone.
int64_t RedZone(int64_t a);
int64_t RedZone2(int64_t a);

// 1 + Depth(n - 1, at) ..., calls at() when n is `when`. Version 2 counts 1000
// a level.
int Depth(int n, int when, const std::function<void()>& at);
int Depth2(int n, int when, const std::function<void()>& at);

struct Thrown {
  int value;
};
void Throw(int value);
void Throw2(int value);

int& ThreadLocal();
int& ThreadLocal2();

class Shape {
 public:
  virtual ~Shape() = default;
  virtual int Area(int scale) const;
  int Perimeter(int scale);

  int size = 3;
};
int NewArea(const Shape* shape, int scale);
int NewPerimeter(Shape* shape, int scale);

// Adds 1 to *destroyed when it goes; calls Answer(1) between.
int CallWithCleanup(int* destroyed);
// Calls Answer() for ever.
void LoopForEver(int* destroyed);

}  // namespace code_test
}  // namespace instar

#endif  // INSTAR_CODE_UPDATABLE_FUNCTIONS_FOR_TEST_H_

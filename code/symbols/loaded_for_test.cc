// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A shared object for tests to load.

#ifdef REBUILT
extern "C" int LoadedExtra(int x) { return x * 1000; }
#endif

namespace loaded {

int variable = 3;
thread_local int per_thread = 4;

[[gnu::noinline]] static int FileLocal(int x) { return x + variable; }

class Shape {
 public:
  virtual ~Shape() = default;
  virtual int Sides() const { return FileLocal(1); }
};

int Function(int x) {
  Shape shape;
  const Shape& any = shape;
  return FileLocal(x) + any.Sides() + per_thread;
}

}  // namespace loaded

namespace inlined {

int WithCodeElsewhere(int x) { return x * 7; }

}  // namespace inlined

extern "C" int LoadedFunction(int x) { return loaded::Function(x); }

extern "C" int LoadedByTwoNames(int x) { return x + 5; }
extern "C" int LoadedByAnotherName(int)
    __attribute__((alias("LoadedByTwoNames")));

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A C++20 coroutine, behind an interface of C++17, for comparison in
// benchmarks.

#ifndef INSTAR_CONTINUATION_INTERNAL_CPP20_COROUTINE_H_
#define INSTAR_CONTINUATION_INTERNAL_CPP20_COROUTINE_H_

namespace instar {

// False if the compiler has none; the class must not be used then.
bool HasCpp20Coroutines();

// Suspends itself each time it is resumed.
class Cpp20Coroutine {
 public:
  Cpp20Coroutine();
  Cpp20Coroutine(const Cpp20Coroutine&) = delete;
  Cpp20Coroutine& operator=(const Cpp20Coroutine&) = delete;
  ~Cpp20Coroutine();

  void Resume();

 private:
  void* handle_;
};

}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_CPP20_COROUTINE_H_

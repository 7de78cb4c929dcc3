// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A class and functions that use it, compiled as updatable code is.

#ifndef INSTAR_UPDATES_MECHANISMS_CONVERT_TEST_CLASS_FUNCTIONS_FOR_TEST_H_
#define INSTAR_UPDATES_MECHANISMS_CONVERT_TEST_CLASS_FUNCTIONS_FOR_TEST_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "heap/updatable.h"

namespace instar {
namespace updates_test {

using Call = std::function<void()>;

class Store : public Updatable<Store> {
 public:
  struct Shelf {
    int CountGoods(int n) const;
  };

  explicit Store(std::string name) : name(std::move(name)) {}
  Store(Store&&) = default;

  // Runs `call` and is on the stack meanwhile.
  int Open(const Call& call);
  // The same, and nothing but copies of it exist.
  __attribute__((always_inline)) int OpenInlined(const Call& call) {
    call();
    return ++opened;
  }
  // Runs it in a lambda of its own.
  int OpenInLambda(const Call& call);
  virtual std::string Describe() const;

  std::string name;
  int opened = 0;
};

// With the class in the signature.
int Visit(const Store& store, const Call& call);
int VisitAll(std::vector<std::unique_ptr<Store>>& stores, const Call& call);
template <typename T>
int VisitNone(const Call& call) {
  call();
  return static_cast<int>(sizeof(T));
}
extern template int VisitNone<Store>(const Call& call);

// Uses it, and no name tells.
Store* FindStore(int n, const Call& call);
// Holds a copy of OpenInlined().
int VisitFirst(const Call& call);

// Of other classes, with names like its own.
struct StoreRoom {
  int Enter(const Call& call);
};
namespace other {
struct Store {
  int Enter(const Call& call);
};
}  // namespace other

// A version, and the versions of a template.
struct StoreV2 : Store {
  explicit StoreV2(Store&& old) noexcept : Store(std::move(old)) {}
  std::string Describe() const override;
  int mark = 0;
};
template <typename T>
struct Box : Updatable<Box<T>> {
  int Open(const Call& call);
  T content{};
};
extern template struct Box<int>;
extern template struct Box<char>;

}  // namespace updates_test
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_CONVERT_TEST_CLASS_FUNCTIONS_FOR_TEST_H_

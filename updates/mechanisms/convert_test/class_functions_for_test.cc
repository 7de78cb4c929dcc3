// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/convert_test/class_functions_for_test.h"

namespace instar {
namespace updates_test {

int Store::Shelf::CountGoods(int n) const { return n + 1; }
int Store::Open(const Call& call) {
  call();
  return ++opened;
}
int Store::OpenInLambda(const Call& call) {
  const auto open = [&](const Call& inner) {
    inner();
    return ++opened;
  };
  const std::function<int(const Call&)> opens = open;
  return opens(call);
}
std::string Store::Describe() const { return name; }

int Visit(const Store& store, const Call& call) {
  call();
  return store.opened;
}
int VisitAll(std::vector<std::unique_ptr<Store>>& stores, const Call& call) {
  call();
  return static_cast<int>(stores.size());
}
template int VisitNone<Store>(const Call& call);

Store* FindStore(int n, const Call& call) {
  static auto& store = *new Store("found");
  call();
  store.opened = n;
  return &store;
}
int VisitFirst(const Call& call) {
  static auto& store = *new Store("first");
  return store.OpenInlined(call);
}

int StoreRoom::Enter(const Call& call) {
  call();
  return 1;
}
int other::Store::Enter(const Call& call) {
  call();
  return 2;
}

std::string StoreV2::Describe() const {
  return Store::Describe() + ", marked " + std::to_string(mark);
}

template <typename T>
int Box<T>::Open(const Call& call) {
  call();
  return static_cast<int>(sizeof(T));
}
template struct Box<int>;
template struct Box<char>;

}  // namespace updates_test
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/dynamicml/table.h"

namespace dynamicml {

std::unique_ptr<Table> Empty() { return std::make_unique<Table>(); }

std::unique_ptr<Table> Share(const Table& table) {
  auto same = std::make_unique<Table>();
  same->bindings = table.bindings;
  return same;
}

std::unique_ptr<Table> Bind(const Table& table, const std::string& name,
                            int value) {
  auto bound = std::make_unique<Table>();
  bound->bindings =
      std::make_shared<const Binding>(Binding{name, value, table.bindings});
  return bound;
}

std::optional<int> LookUp(const Table& table, const std::string& name,
                          long& steps) {
  for (const Binding* b = table.bindings.get(); b != nullptr;
       b = b->rest.get()) {
    ++steps;
    if (b->name == name) return b->value;
  }
  return std::nullopt;
}

const void* Representation(const Table& table) { return table.bindings.get(); }

}  // namespace dynamicml

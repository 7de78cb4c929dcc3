// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A symbol table: what names mean in a scope. A table is a value: it does not
// change, and binding a name makes another table. Whoever uses one does not
// know how it is represented, which is why that can be replaced:
// docs/examples/dynamicml.md.

#ifndef INSTAR_EXAMPLES_DYNAMICML_TABLE_H_
#define INSTAR_EXAMPLES_DYNAMICML_TABLE_H_

#include <memory>
#include <optional>
#include <string>

#include "heap/updatable.h"

namespace dynamicml {

// A list, newest first. Tables share what they have in common.
struct Binding {
  std::string name;
  int value;
  std::shared_ptr<const Binding> rest;
};

struct Table : instar::Updatable<Table, 16> {
  std::shared_ptr<const Binding> bindings;
};

std::unique_ptr<Table> Empty();
// The same value once more, represented once.
std::unique_ptr<Table> Share(const Table& table);
std::unique_ptr<Table> Bind(const Table& table, const std::string& name,
                            int value);
// Adds to `steps` how many names were looked at.
std::optional<int> LookUp(const Table& table, const std::string& name,
                          long& steps);
// Equal for tables that share all of it.
const void* Representation(const Table& table);

}  // namespace dynamicml

#endif  // INSTAR_EXAMPLES_DYNAMICML_TABLE_H_

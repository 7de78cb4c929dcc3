// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Symbol tables are search trees. All that live become such at one moment, and
// what lists they shared are trees that they share.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "examples/dynamicml/table.h"
#include "heap/class_version.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace dynamicml {
namespace {

using List = std::shared_ptr<const Binding>;

// A treap: the hash of its name is the priority of a node, so that the shape
// depends on the names alone.
struct Node;
using Tree = std::shared_ptr<const Node>;
struct Node {
  std::string name;
  int value;
  Tree left, right;

  std::size_t priority() const { return std::hash<std::string>()(name); }
};

Tree Make(const Node& node, Tree left, Tree right) {
  return std::make_shared<const Node>(
      Node{node.name, node.value, std::move(left), std::move(right)});
}

// The rest is shared with `tree`.
Tree Insert(const Tree& tree, const std::string& name, int value) {
  if (tree == nullptr) {
    return std::make_shared<const Node>(Node{name, value, nullptr, nullptr});
  }
  if (name == tree->name) {
    return std::make_shared<const Node>(
        Node{name, value, tree->left, tree->right});
  }
  if (name < tree->name) {
    const Tree left = Insert(tree->left, name, value);
    if (left->priority() <= tree->priority()) {
      return Make(*tree, left, tree->right);
    }
    return Make(*left, left->left, Make(*tree, left->right, tree->right));
  }
  const Tree right = Insert(tree->right, name, value);
  if (right->priority() <= tree->priority()) {
    return Make(*tree, tree->left, right);
  }
  return Make(*right, Make(*tree, tree->left, right->left), right->right);
}

// What has been converted already, so that it is shared again: a list that
// several tables have, or that is the rest of another one.
template <typename From, typename To>
struct Converted {
  std::mutex lock;  // objects may be converted by several threads
  std::unordered_map<const void*, To> known;
};
Converted<List, Tree> trees;
Converted<Tree, List> lists;

Tree TreeOf(const List& list) {
  const std::lock_guard<std::mutex> lock(trees.lock);
  std::vector<const Binding*> missing;
  Tree tree;
  for (const Binding* b = list.get(); b != nullptr; b = b->rest.get()) {
    const auto found = trees.known.find(b);
    if (found != trees.known.end()) {
      tree = found->second;
      break;
    }
    missing.push_back(b);
  }
  for (auto b = missing.rbegin(); b != missing.rend(); ++b) {
    tree = Insert(tree, (*b)->name, (*b)->value);
    trees.known[*b] = tree;
  }
  return tree;
}

List Prepend(const Tree& tree, List list) {
  if (tree == nullptr) return list;
  list = Prepend(tree->right, std::move(list));
  list = std::make_shared<const Binding>(
      Binding{tree->name, tree->value, std::move(list)});
  return Prepend(tree->left, std::move(list));
}

List ListOf(const Tree& tree) {
  const std::lock_guard<std::mutex> lock(lists.lock);
  List& list = lists.known[tree.get()];
  if (list == nullptr) list = Prepend(tree, nullptr);
  return list;
}

absl::Status Forget() {
  trees.known.clear();
  lists.known.clear();
  return absl::OkStatus();
}

struct TreeTable : Table {
  explicit TreeTable(Table&& old) noexcept : Table(std::move(old)) {}
  void Convert() {
    tree = TreeOf(bindings);
    bindings = nullptr;
  }
  void ConvertBack() noexcept {
    bindings = ListOf(tree);
    tree = nullptr;
  }

  Tree tree;
};

const Tree& TreeIn(const Table& table) {
  return instar::version_cast<TreeTable>(&table)->tree;
}

std::unique_ptr<Table> WithTree(Tree tree) {
  auto table = std::make_unique<TreeTable>(Table());
  table->tree = std::move(tree);
  return table;
}

std::unique_ptr<Table> NewEmpty() { return WithTree(nullptr); }

std::unique_ptr<Table> NewShare(const Table& table) {
  return WithTree(TreeIn(table));
}

std::unique_ptr<Table> NewBind(const Table& table, const std::string& name,
                               int value) {
  return WithTree(Insert(TreeIn(table), name, value));
}

std::optional<int> NewLookUp(const Table& table, const std::string& name,
                             long& steps) {
  for (const Node* node = TreeIn(table).get(); node != nullptr;) {
    ++steps;
    if (name == node->name) return node->value;
    node = (name < node->name ? node->left : node->right).get();
  }
  return std::nullopt;
}

const void* NewRepresentation(const Table& table) {
  return TreeIn(table).get();
}

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Before(Forget, Forget);
  plan.ConvertEagerly<Table, TreeTable>();
  plan.Redefine(&Empty, &NewEmpty);
  plan.Redefine(&Share, &NewShare);
  plan.Redefine(&Bind, &NewBind);
  plan.Redefine(&LookUp, &NewLookUp);
  plan.Redefine(&Representation, &NewRepresentation);
  plan.After(Forget, Forget);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("tree_tables", Describe);
}  // namespace
}  // namespace dynamicml

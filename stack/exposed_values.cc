// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/exposed_values.h"

#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/similar_names.h"

namespace instar {
namespace stack_internal {

__thread ExposedNode* exposed_values = nullptr;

namespace {

std::string Readable(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? name.get() : type.name();
}

}  // namespace

ScopedExposedValues::ScopedExposedValues(ExposedNode* newest)
    : own_(exposed_values),
      newest_(newest),
      link_(newest != nullptr ? newest->link_to_this : nullptr) {
  exposed_values = newest;
}

ScopedExposedValues::~ScopedExposedValues() {
  exposed_values = own_;
  // A value that was exposed in the scope has linked itself to the other list,
  // and left this link behind.
  if (newest_ != nullptr) newest_->link_to_this = link_;
}

absl::StatusOr<const ExposedNode*> FindExposedNode(absl::string_view name,
                                                   const std::type_info& type,
                                                   bool to_change,
                                                   StackBounds bounds,
                                                   const ExposedNode* after) {
  std::string others;
  std::vector<std::string> names;
  for (const ExposedNode* node = after == nullptr ? exposed_values
                                                  : after->older;
       node != nullptr; node = node->older) {
    if (bounds.high != 0 &&
        !bounds.Contains(reinterpret_cast<std::uintptr_t>(node))) {
      continue;
    }
    if (node->name != name) {
      absl::StrAppend(&others, others.empty() ? "" : ", ", node->name, " (",
                      Readable(*node->type), ")");
      names.emplace_back(node->name);
      continue;
    }
    if (*node->type != type) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", name, "' is exposed as ", Readable(*node->type),
                       ", not as ", Readable(type)));
    }
    if (node->is_const && to_change) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", name, "' is exposed as const ", Readable(type),
                       ": read it, or find it as const"));
    }
    return node;
  }
  const std::vector<std::string> similar = SimilarNames(name, names);
  return absl::NotFoundError(absl::StrCat(
      "no function exposes '", name, "' on this thread",
      similar.empty()
          ? ""
          : absl::StrCat("; similar: '", absl::StrJoin(similar, "', '"), "'"),
      "; exposed are: ", others.empty() ? "none" : others));
}

}  // namespace stack_internal
}  // namespace instar

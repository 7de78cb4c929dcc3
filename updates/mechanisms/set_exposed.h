// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Gives a local variable of a running function another value: one that the
// function exposes (stack/exposed_values.h). What the function is in the middle
// of goes on with it.
//
//   void ServeForever() {
//     std::chrono::seconds patience(30);
//     ExposedValue expose_patience("patience", patience);
//     ...
//   }
//
//   plan.Add(SetExposed("server", "patience", std::chrono::seconds(5)));
//   threads.Add("server", SetExposed("server", "patience",
//                                    std::chrono::seconds(5)));
//
// In every controlled thread of the name, the innermost variable of that name
// gets the value; the type must be that of the variable. As an update function
// it is done in the thread itself, at its own point. Not yet if there is no
// such thread, or if one exposes no such variable: its function may not have
// begun.
//
// When the update is undone, each variable gets back what it had before. What
// the program has written to it since is lost, which `check` says. A thread
// that exposes none any more, or has begun since, is left alone.
//
// T is copied, and swapped without exceptions.

#ifndef INSTAR_UPDATES_MECHANISMS_SET_EXPOSED_H_
#define INSTAR_UPDATES_MECHANISMS_SET_EXPOSED_H_

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "stack/exposed_values.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {
namespace updates_internal {

// What depends on the type.
class ExposedType {
 public:
  virtual ~ExposedType() = default;
  // What the thread exposes of which it is asked.
  virtual absl::StatusOr<void*> Find(const std::string& variable) const = 0;
  virtual std::shared_ptr<void> MakeNew() const = 0;
  virtual std::shared_ptr<void> Copy(const void* value) const = 0;
  virtual void Swap(void* a, void* b) const noexcept = 0;
};

template <typename T>
class ExposedTypeOf final : public ExposedType {
  static_assert(std::is_copy_constructible_v<T> &&
                    std::is_nothrow_swappable_v<T>,
                "instar: an exposed variable that is set is of a type that can "
                "be copied, and swapped without exceptions");

 public:
  explicit ExposedTypeOf(T value) : value_(std::move(value)) {}

  absl::StatusOr<void*> Find(const std::string& variable) const override {
    const absl::StatusOr<T*> found = FindExposed<T>(variable);
    if (!found.ok()) return found.status();
    return *found;
  }
  std::shared_ptr<void> MakeNew() const override { return Copy(&value_); }
  std::shared_ptr<void> Copy(const void* value) const override {
    return std::make_shared<T>(*static_cast<const T*>(value));
  }
  void Swap(void* a, void* b) const noexcept override {
    using std::swap;
    swap(*static_cast<T*>(a), *static_cast<T*>(b));
  }

 private:
  const T value_;
};

std::shared_ptr<Mechanism> MakeSetExposed(
    std::string thread_name, std::string variable,
    std::unique_ptr<const ExposedType> type);

}  // namespace updates_internal

template <typename T>
std::shared_ptr<Mechanism> SetExposed(std::string thread_name,
                                      std::string variable, T value) {
  return updates_internal::MakeSetExposed(
      std::move(thread_name), std::move(variable),
      std::make_unique<updates_internal::ExposedTypeOf<T>>(std::move(value)));
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_SET_EXPOSED_H_

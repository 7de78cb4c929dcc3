// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program of fuzz.py has of Instar: a manager, by functions of C. Each
// returns a null pointer, or what went wrong.

#include <chrono>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/manager.h"

namespace {

absl::StatusOr<instar::Manager>& TheManager() {
  static auto* const manager =
      new absl::StatusOr<instar::Manager>(instar::Manager::Start());
  return *manager;
}

// What a call of the manager answers, or why there is none.
const char* Ask(
    absl::FunctionRef<absl::Status(instar::Manager& manager)> call) {
  static auto* const text = new std::string();
  absl::StatusOr<instar::Manager>& manager = TheManager();
  const absl::Status status = manager.ok() ? call(*manager) : manager.status();
  *text = status.ToString();
  return status.ok() ? nullptr : text->c_str();
}

}  // namespace

extern "C" const char* HarnessLoad(const char* path) {
  return Ask(
      [path](instar::Manager& manager) { return manager.Load(path).status(); });
}

// These two give up after that many milliseconds.
extern "C" const char* HarnessLoadWithin(const char* path, int milliseconds) {
  return Ask([&](instar::Manager& manager) {
    return manager.Load(path, std::chrono::milliseconds(milliseconds)).status();
  });
}

extern "C" const char* HarnessUndo() {
  return Ask([](instar::Manager& manager) { return manager.Undo().status(); });
}

extern "C" const char* HarnessUndoWithin(int milliseconds) {
  return Ask([&](instar::Manager& manager) {
    return manager.Undo(std::chrono::milliseconds(milliseconds)).status();
  });
}

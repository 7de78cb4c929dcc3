// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program of fuzz.py has of Instar: a manager, by functions of C. Each
// returns a null pointer, or what went wrong.

#include <string>

#include "absl/status/statusor.h"
#include "manager/manager.h"

namespace {

instar::Manager* TheManager() {
  static auto* const manager =
      new absl::StatusOr<instar::Manager>(instar::Manager::Start());
  return manager->ok() ? &**manager : nullptr;
}

template <typename Result>
const char* Said(const Result& result) {
  static auto* const text = new std::string();
  *text = result.status().ToString();
  return result.ok() ? nullptr : text->c_str();
}

}  // namespace

extern "C" const char* HarnessLoad(const char* path) {
  instar::Manager* const manager = TheManager();
  return manager == nullptr ? "the manager does not start"
                            : Said(manager->Load(path));
}

extern "C" const char* HarnessUndo() { return Said(TheManager()->Undo()); }

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What makes a shared object an update module: one line in one of its sources.
//
//   absl::Status AddRatings(instar::UpdatePlan& plan) {
//     plan.ConvertLazily<Product, ProductV2>();
//     plan.Redefine(&DoCommand, &NewDoCommand);
//     return absl::OkStatus();
//   }
//   INSTAR_UPDATE_MODULE("ratings", AddRatings);
//
// or, with an update function for each thread,
//
//   absl::Status AddRatingsPerThread(instar::ThreadUpdates& threads);
//   INSTAR_THREAD_UPDATES_MODULE("ratings", AddRatingsPerThread);
//
// The rule update_module (tools/defs.bzl) builds it:
//
//     update_module(name = "add_ratings", srcs = ["add_ratings.cc"],
//                   program = ":site_manager", deps = [":site_manager_lib"])
//
// The function is called by whoever loads the module, on its thread, with
// nobody held: it says what is to be done and does none of it. An error that it
// returns, or an exception that leaves it, refuses the update.
//
// The name is what instarctl calls the update, and what the program remembers
// of it: two updates of one name are never applied together. It has 1 to 64
// characters: letters, digits, `-`, `_` and `.`.
//
// Lifetime: a module stays loaded once its update has been applied
// (manager/module/module_loader.h). What refers to its code or its objects must
// not outlive one that was refused: registering something elsewhere in a static
// initializer is not undone.
//
// Format. The macro puts an ELF note into the module, so that everything which
// can be refused is refused before any code of the module runs (System V ABI,
// chapter 5, "Note Section"). Owner "Instar"; integers are little-endian, of 4
// bytes, strings end in a zero:
//
//   - type 1, by the macro: format, kind, name of the update
//   - type 2, by the rule: format, count of required modules; then the name of
//     the program and its build id in hexadecimal digits; then, for each
//     required module, the name of its update and its DT_SONAME
//
// tools/update_module_note.py writes the second, manager/module/module_file.h
// reads both.

#ifndef INSTAR_UPDATES_UPDATE_MODULE_H_
#define INSTAR_UPDATES_UPDATE_MODULE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace instar {

class UpdatePlan;
class ThreadUpdates;

// What a module exports as `instar_update_module`. Its layout never changes but
// with the format.
struct UpdateModuleEntry {
  std::uint32_t format;
  std::uint32_t kind;
  const char* name;
  absl::Status (*plan)(UpdatePlan&);               // kPlan, else null
  absl::Status (*thread_updates)(ThreadUpdates&);  // or this one
  // Of a module in C (manager/c/instar.h): null, or why the update is refused.
  // Those of the other kinds may not have this member.
  const char* (*c_plan)(UpdatePlan*);
};

namespace updates_internal {

inline constexpr std::uint32_t kModuleFormat = 1;
inline constexpr std::uint32_t kPlanKind = 1;
inline constexpr std::uint32_t kThreadUpdatesKind = 2;
inline constexpr std::uint32_t kCPlanKind = 3;
// By instar-diff: it has tables (manager/module/generated_module.h), and
// exports no instar_update_module.
inline constexpr std::uint32_t kGeneratedKind = 4;

inline constexpr std::uint32_t kModuleNote = 1;   // by the macro
inline constexpr std::uint32_t kProgramNote = 2;  // by the rule
inline constexpr char kNoteOwner[] = "Instar";
inline constexpr char kEntrySymbol[] = "instar_update_module";

constexpr bool IsUpdateName(const char* name, std::size_t size) {
  if (size < 1 || size > 64) return false;
  for (std::size_t i = 0; i < size; ++i) {
    const char c = name[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')) {
      return false;
    }
  }
  return true;
}

}  // namespace updates_internal
}  // namespace instar

// `name` is a string literal. A module has one of these, at the top level of
// one source.
#define INSTAR_UPDATE_MODULE(name, function) \
  INSTAR_MODULE_IMPL_(name, 1, function, nullptr)
#define INSTAR_THREAD_UPDATES_MODULE(name, function) \
  INSTAR_MODULE_IMPL_(name, 2, nullptr, function)

// The symbol's own name makes a second one an error of the linker. The literal
// is pasted to another one, which only literals can be.
#define INSTAR_MODULE_IMPL_(module_name, module_kind, plan_function,      \
                            threads_function)                             \
  static_assert(::instar::updates_internal::IsUpdateName(                 \
                    "" module_name, sizeof(module_name) - 1),             \
                "the name of an update has 1 to 64 characters: letters, " \
                "digits, '-', '_' and '.'");                              \
  asm(".pushsection .note.instar.module, \"a\", @note\n"                  \
      "    .balign 4\n"                                                   \
      "    .long 2f - 1f, 4f - 3f, 1\n" /* sizes, type */                 \
      "1:  .asciz \"Instar\"\n"                                           \
      "2:  .balign 4\n"                                                   \
      "3:  .long 1, " #module_kind                                        \
      "\n" /* format, kind */                                             \
      "    .asciz \"" module_name                                         \
      "\"\n"                                                              \
      "4:  .balign 4\n"                                                   \
      "    .popsection\n");                                               \
  extern "C" {                                                            \
  extern const ::instar::UpdateModuleEntry instar_update_module           \
      __attribute__((visibility("default")));                             \
  const ::instar::UpdateModuleEntry instar_update_module = {              \
      ::instar::updates_internal::kModuleFormat,                          \
      module_kind,                                                        \
      module_name,                                                        \
      plan_function,                                                      \
      threads_function,                                                   \
      nullptr};                                                           \
  }                                                                       \
  static_assert(true, "") /* wants a semicolon */

#endif  // INSTAR_UPDATES_UPDATE_MODULE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_update.h"

#include <elf.h>

#include <algorithm>
#include <exception>
#include <ios>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/forced_unwind.h"
#include "base/status_macros.h"
#include "heap/appended_member.h"
#include "manager/module/elf_image.h"
#include "manager/module/generated_module.h"
#include "manager/module/generated_tables.h"
#include "updates/mechanisms/append_members.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/redefine_entries.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

absl::Status Say(const LoadedModule& module, absl::StatusCode code,
                 absl::string_view reason) {
  return absl::Status(code,
                      absl::StrCat("the update ", module.file().update_name(),
                                   " refuses: ", reason));
}

// Calls what the module's author wrote. Exceptions, which may be of a class of
// the module, are gone when this returns.
template <typename F, typename Argument>
INSTAR_CATCHES_FORCED_UNWIND absl::Status Call(const LoadedModule& module,
                                               F* function,
                                               Argument& argument) {
  try {
    const absl::Status status = (*function)(argument);
    return status.ok() ? status : Say(module, status.code(), status.message());
  } catch (const std::exception& exception) {
    return Say(module, absl::StatusCode::kAborted,
               absl::StrCat("its function threw ", exception.what()));
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    return Say(module, absl::StatusCode::kAborted, "its function threw");
  }
}

// A function of a module, by a number that is not its address: what is left of
// this in freed memory leads nowhere (manager/module/scan/reference_scan.h).
template <typename F>
class FunctionOfModule {
 public:
  explicit FunctionOfModule(F* function)
      : hidden_(~reinterpret_cast<std::uintptr_t>(function)) {}
  auto operator()() const { return reinterpret_cast<F*>(~hidden_)(); }

 private:
  std::uintptr_t hidden_;
};

// A function that a generated module may export (manager/c/instar_hooks.h), or
// null. As the module's own, it is looked for in no other object.
template <typename F>
F* FindHook(const LoadedModule& module, const char* name) {
  const std::optional<Elf64_Sym> symbol =
      module.file().image().FindDefined(name);
  if (!symbol.has_value() || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC) {
    return nullptr;
  }
  return reinterpret_cast<F*>(module.load_base() + symbol->st_value);
}

Hook HookOf(const LoadedModule& module, const char* name) {
  auto* const hook = FindHook<const char*()>(module, name);
  if (hook == nullptr) return nullptr;
  return [hidden = FunctionOfModule(hook)] {
    const char* const error = hidden();
    return error == nullptr ? absl::OkStatus()
                            : absl::FailedPreconditionError(error);
  };
}

// What INSTAR_CONVERT says in the new source (heap/appended_member.h), by
// class.
void AddMembers(const LoadedModule& module, UpdatePlan& plan) {
  std::map<std::string, std::vector<AppendedMember>> by_class;
  std::set<Elf64_Addr> seen;  // GCC 14 gives such a function a second name
  for (const Elf64_Sym& symbol : module.file().image().DefinedWithPrefix(
           generated_module::kConvertPrefix)) {
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC ||
        !seen.insert(symbol.st_value).second) {
      continue;
    }
    AppendedMember member;
    reinterpret_cast<void (*)(AppendedMember*)>(module.load_base() +
                                                symbol.st_value)(&member);
    by_class[member.root()->name()].push_back(member);
  }
  for (auto& [name, members] : by_class) {
    std::sort(members.begin(), members.end(),
              [](const AppendedMember& a, const AppendedMember& b) {
                return a.begin < b.begin;
              });
    plan.Add(AppendMembers(std::move(members)));
  }
}

// Called when threads run again.
class DoneHook final : public Mechanism {
 public:
  explicit DoneHook(void (*hook)()) : hook_(hook) {}
  std::string name() const override { return "hook when the update is done"; }
  Attempt Apply(const StoppedWorld&) override { return Attempt::Done(); }
  Attempt Undo(const StoppedWorld&) override { return Attempt::Done(); }
  void AfterStop(AttemptResult result) override {
    if (result == AttemptResult::kApplied) hook_();
  }

 private:
  const FunctionOfModule<void()> hook_;
};

std::unique_ptr<Update> MakeGeneratedUpdate(const LoadedModule& module) {
  // A file that includes <iostream> anew has an initializer for std::cout, and
  // initializers of generated modules do not run.
  static const std::ios_base::Init streams;
  const manager_internal::GeneratedTables& tables = *module.file().tables();
  UpdatePlan plan(module.file().update_name());
  if (auto* const until = FindHook<int()>(module, "instar_generated_until")) {
    plan.When([hidden = FunctionOfModule(until)] {
      return hidden() != 0 ? Attempt::Done()
                           : Attempt::NotYet(
                                 "its condition is not met "
                                 "(instar_generated_until())");
    });
  }
  if (Hook before = HookOf(module, "instar_generated_before")) {
    plan.Before(std::move(before),
                HookOf(module, "instar_generated_undo_before"));
  }
  WipedVector<EntryRedefinition> entries;
  for (const generated_module::Redefinition& redefinition :
       tables.redefinitions()) {
    EntryRedefinition& entry = entries.emplace_back();
    const bool is_own = redefinition.image == generated_module::kThisModule;
    entry.from = redefinition.old_entry +
                 (is_own ? module.load_base()
                         : module.image_bases()[redefinition.image]);
    entry.from_may_go = redefinition.image != 0;
    entry.name = std::string(tables.NameAt(redefinition.name));
    const bool only_watched =
        (redefinition.flags & generated_module::kOnlyWatched) != 0;
    entry.to = only_watched ? 0 : module.load_base() + redefinition.new_entry;
    entry.must_be_quiescent =
        (redefinition.flags & generated_module::kMustBeQuiescent) != 0;
  }
  if (!entries.empty()) plan.Add(RedefineEntries(std::move(entries)));
  AddMembers(module, plan);
  if (Hook after = HookOf(module, "instar_generated_after")) {
    plan.After(std::move(after), HookOf(module, "instar_generated_undo_after"));
  }
  if (auto* const done = FindHook<void()>(module, "instar_generated_done")) {
    plan.Add(std::make_shared<DoneHook>(done));
  }
  return MakeUpdate(std::move(plan));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Update>> MakeUpdate(const LoadedModule& module) {
  if (module.file().kind() == ModuleKind::kGenerated) {
    return MakeGeneratedUpdate(module);
  }
  const UpdateModuleEntry& entry = module.entry();
  if (entry.thread_updates != nullptr) {
    ThreadUpdates threads(module.file().update_name());
    INSTAR_RETURN_IF_ERROR(Call(module, entry.thread_updates, threads));
    return MakeUpdate(std::move(threads));
  }
  UpdatePlan plan(module.file().update_name());
  if (entry.kind == updates_internal::kCPlanKind) {
    const auto fill = [&](UpdatePlan& filled) {
      const char* const refusal = entry.c_plan(&filled);
      return refusal == nullptr ? absl::OkStatus()
                                : absl::FailedPreconditionError(refusal);
    };
    INSTAR_RETURN_IF_ERROR(Call(module, &fill, plan));
  } else {
    INSTAR_RETURN_IF_ERROR(Call(module, entry.plan, plan));
  }
  return MakeUpdate(std::move(plan));
}

}  // namespace instar

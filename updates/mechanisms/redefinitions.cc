// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/redefinitions.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/fork_mutex.h"
#include "base/status_macros.h"
#include "code/symbols/return_type.h"

namespace instar {
namespace {

// "(int, char*)" of "shop::Price(int, char*) const"; empty if there is none.
absl::string_view Parameters(absl::string_view name) {
  if (absl::EndsWith(name, " const")) name.remove_suffix(6);
  if (!absl::EndsWith(name, ")")) return {};
  int depth = 0;
  for (std::size_t at = name.size(); at-- > 0;) {
    if (name[at] == ')') ++depth;
    if (name[at] == '(' && --depth == 0) return name.substr(at);
  }
  return {};
}

// Of what redefines this function. That of a lambda's body gets the lambda
// first, which has a type without a name: as a pointer to void.
std::string WantedParameters(const std::string& old_name,
                             const std::string& new_name) {
  constexpr absl::string_view kBody = "}::operator()(";
  const absl::string_view parameters = Parameters(old_name);
  if (!absl::StrContains(old_name, kBody) ||
      absl::StrContains(new_name, kBody)) {
    return std::string(parameters);
  }
  return absl::StrCat(
      absl::EndsWith(old_name, " const") ? "(void const*" : "(void*",
      parameters == "()" ? "" : ", ", parameters.substr(1));
}

}  // namespace

Redefinitions& Redefinitions::AddFunction(const absl::StatusOr<Function>& from,
                                          std::uintptr_t to) {
  if (from.ok()) {
    entries_.push_back(EntryRedirection{*from, to});
  } else if (status_.ok()) {
    status_ = from.status();
  }
  return *this;
}

Redefinitions& Redefinitions::AddByName(
    absl::string_view from, const absl::StatusOr<Function>& to,
    const StaticType* returned, const NamedRedefinitionOptions& options) {
  if (!to.ok()) return AddFunction(to.status(), 0);
  const absl::StatusOr<Function> function = Function::Named(from);
  if (!function.ok()) return AddFunction(function.status(), 0);
  const std::string old_name = function->name();
  const std::string new_name = to->name();
  if (Parameters(old_name).empty() || Parameters(new_name).empty()) {
    return AddFunction(
        absl::InvalidArgumentError(absl::StrCat(
            "the parameter types of ", old_name, " and ", new_name,
            " cannot be compared: the symbol of one does not hold them; "
            "redefine it by its address")),
        0);
  }
  const std::string wanted = WantedParameters(old_name, new_name);
  if (wanted != Parameters(new_name)) {
    return AddFunction(
        absl::InvalidArgumentError(absl::StrCat(
            old_name, " cannot be redefined by ", new_name,
            ": the parameter types differ",
            wanted == Parameters(old_name)
                ? ""
                : absl::StrCat("; of a lambda they are ", wanted,
                               ", with what it has captured first"))),
        0);
  }
  const absl::Status types =
      returned == nullptr ? CompareReturnTypes(*function, *to)
                          : CompareReturnTypes(*function, *to, *returned);
  if (!types.ok() && !(options.accept_unknown_return_type &&
                       absl::IsFailedPrecondition(types))) {
    return AddFunction(
        absl::Status(
            types.code(),
            absl::StrCat(old_name, " cannot be redefined by ", new_name, ": ",
                         types.message(),
                         absl::IsFailedPrecondition(types)
                             ? "; compile both with -g, redefine it by its "
                               "address, or set NamedRedefinitionOptions::"
                               "accept_unknown_return_type"
                             : "")),
        0);
  }
  return AddFunction(function, to->entry());
}

std::vector<std::string> Redefinitions::names() const {
  std::vector<std::string> names;
  for (const EntryRedirection& entry : entries_) {
    names.push_back(entry.from.name());
  }
  for (const auto& slot : slots_) {
    const absl::StatusOr<Function> original =
        Function::AtEntry(slot->original());
    names.push_back(absl::StrCat(
        "the slot of ",
        original.ok() ? original->name() : std::string("an unknown function")));
  }
  return names;
}

absl::StatusOr<PreparedRedefinitions> PreparedRedefinitions::Make(
    const Redefinitions& redefinitions, RedirectionOptions options) {
  INSTAR_RETURN_IF_ERROR(redefinitions.status());
  if (redefinitions.entries().empty() && redefinitions.slots().empty()) {
    return absl::InvalidArgumentError("there is no function to redefine");
  }
  PreparedRedefinitions prepared;
  for (const EntryRedirection& entry : redefinitions.entries()) {
    prepared.functions_.push_back(entry.from);
  }
  const auto& slots = redefinitions.slots();
  for (std::size_t i = 0; i < slots.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!slots[i]->HasSameSlot(*slots[j])) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(redefinitions.names()[prepared.functions_.size() + i],
                       " is to be redefined twice in one set"));
    }
  }
  for (const auto& slot : slots) {
    prepared.slots_.emplace_back(new RedefinableRedirection(slot->Again()));
  }
  INSTAR_RETURN_IF_ERROR(prepared.QuiescentFunctions().status());
  if (!redefinitions.entries().empty()) {
    INSTAR_ASSIGN_OR_RETURN(
        prepared.redirection_,
        Redirection::Prepare(redefinitions.entries(), options));
  }
  return prepared;
}

PreparedRedefinitions::~PreparedRedefinitions() {
  if (!is_applied_) return;
  // In effect as those of functions are, which belong to the entries' records.
  // A slot does not own its redirections, so these are never destroyed.
  static ForkGuarded<std::vector<std::unique_ptr<RedefinableRedirection>>> kept;
  const auto locked = kept.Lock();
  for (auto& slot : slots_) locked->push_back(std::move(slot));
}

absl::Status PreparedRedefinitions::Apply(OtherThreads others) {
  INSTAR_CHECK(!is_applied_) << "redefinitions can be applied once";
  if (redirection_.has_value()) {
    INSTAR_RETURN_IF_ERROR(redirection_->Apply(others));
  }
  for (const auto& slot : slots_) slot->Apply();  // never fails
  is_applied_ = true;
  return absl::OkStatus();
}

absl::Status PreparedRedefinitions::Undo(OtherThreads others) {
  INSTAR_CHECK(is_applied_) << "only applied redefinitions can be undone";
  if (redirection_.has_value()) {
    INSTAR_RETURN_IF_ERROR(redirection_->Undo(others));
  }
  for (const auto& slot : slots_) slot->Undo();
  is_applied_ = false;
  return absl::OkStatus();
}

absl::Status PreparedRedefinitions::BeginAttempts() {
  if (functions_.empty() || during_attempts_.has_value())
    return absl::OkStatus();
  INSTAR_ASSIGN_OR_RETURN(during_attempts_,
                          EntryInterception::WithLookup(functions_));
  return absl::OkStatus();
}

void PreparedRedefinitions::EndAttempts() { during_attempts_.reset(); }

absl::StatusOr<std::vector<Function>>
PreparedRedefinitions::QuiescentFunctions() const {
  std::vector<Function> functions = functions_;
  for (const auto& slot : slots_) {
    for (const std::uintptr_t target : slot->AllTargets()) {
      INSTAR_ASSIGN_OR_RETURN(const Function function,
                              Function::AtEntry(target));
      if (std::find(functions.begin(), functions.end(), function) ==
          functions.end()) {
        functions.push_back(function);
      }
    }
  }
  return functions;
}

}  // namespace instar

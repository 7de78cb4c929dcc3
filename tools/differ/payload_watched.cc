// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What has to be on no stack and gets no new version.

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/judges/never_left.h"
#include "tools/differ/payload.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

void Refuse(const Unit& function, absl::string_view what,
            PayloadContext& context) {
  context.findings->Refuse(
      function.object->name(),
      absl::StrCat(what, Demangle(function.name),
                   " has to be on no stack when the update is applied, and "
                   "cannot be found in the program: give the program with its "
                   "symbols"));
}

}  // namespace

bool IsAtNextCall(const Unit& function, const PayloadContext& context) {
  return std::any_of(
      context.at_next_call.begin(), context.at_next_call.end(),
      [&](const std::string& name) { return IsNamed(function, name); });
}

bool MayBeActive(const Unit& function, const PayloadContext& context) {
  return IsNeverLeft(function) || IsAtNextCall(function, context);
}

void WatchColdPart(const Unit& function, const Place& place,
                   PayloadContext& context) {
  const auto found = context.cold_parts_of.find(&function);
  if (found != context.cold_parts_of.end()) {
    for (const Place& part : found->second) {
      context.watched.push_back({part, function.name});
    }
  } else if (function.parts.size() > 1 && place.image == 0 &&
             !context.state->target().has_symbols()) {
    Refuse(function, "the cold part of ", context);
  }
}

std::optional<Place> PlaceOfThunk(absl::string_view name, const Unit& function,
                                  PayloadContext& context) {
  const bool may_be_hidden = context.hidden_names.contains(name);
  const UpdateState& state = *context.state;
  const std::optional<Place> place = state.Find(name, may_be_hidden);
  if (!place && may_be_hidden && !state.target().has_symbols()) {
    Refuse(function, absl::StrCat(Demangle(name), " of "), context);
  }
  if (!place || !state.HasRoomAt(*place)) return std::nullopt;
  return place;
}

void WatchGone(PayloadContext& context) {
  for (const Unit* unit : context.comparison->gone()) {
    if (unit->is_function() && !unit->is_initializer() && !IsHook(*unit) &&
        unit->main().group.empty() && context.place_of.contains(unit) &&
        !MayBeActive(*unit, context)) {
      Watch(*unit, context);
    }
  }
}

void Watch(const Unit& function, PayloadContext& context) {
  const auto found = context.place_of.find(&function);
  std::optional<Place> place;
  if (found != context.place_of.end()) {
    place = found->second;
  } else if (function.is_global() && !function.main().group.empty()) {
    // Another object's copy, of other code.
    place = context.state->Find(
        function.global_name(),
        context.hidden_names.contains(function.global_name()));
    if (place) place->address -= function.entry;
  }
  if (!place) {
    if (context.complete.count(function.object) == 0) {
      Refuse(function, "", context);
    }
    return;
  }
  context.watched.push_back(
      {{place->image, place->address + function.entry}, function.name});
  for (const Symbol* thunk : function.thunks()) {
    const auto of_thunk = PlaceOfThunk(thunk->name, function, context);
    if (of_thunk) {
      context.watched.push_back({*of_thunk, std::string(thunk->name)});
    }
  }
  WatchColdPart(function, *place, context);
}

// A new function would call what the update has changed as if it still were so.
// Of what is never left that is asked only where such a call would not fit.
bool Payload::BlocksUndo(const Unit& function) const {
  if (!function.is_function() || IsHook(function)) return false;
  if (!MayBeActive(function, context_)) {
    return function.status == UnitStatus::kNew && function.main().group.empty();
  }
  for (const Section* part : function.parts) {
    for (const Relocation& relocation : part->relocations) {
      const Unit* target = object_.TargetOf(relocation);
      if (target == nullptr) {
        target = context_.comparison->DefinedByNew(
            object_.SymbolOf(relocation).name);
      }
      if (target != nullptr &&
          context_.other_signatures.count(target->old) != 0) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace differ
}  // namespace instar

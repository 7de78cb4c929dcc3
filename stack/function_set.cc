// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/function_set.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "code/function_entry.h"

namespace instar {
namespace {

// The function, whose own targets are given, and all its versions, itself
// first.
absl::StatusOr<std::vector<Function>> VersionsOf(
    const Function& function, WipedVector<uintptr_t> targets) {
  std::vector<Function> versions = {function};
  for (std::size_t i = 0; i < versions.size(); ++i) {
    if (i > 0) targets = AllRedirectionTargets(versions[i]);
    for (const uintptr_t target : targets) {
      const absl::StatusOr<Function> version = Function::Containing(target);
      if (!version.ok()) {
        return absl::FailedPreconditionError(absl::StrFormat(
            "%s was redirected to %#x, where no function is known to have "
            "code, so that its activations cannot be found",
            versions[i].name(), target));
      }
      if (std::find(versions.begin(), versions.end(), *version) ==
          versions.end()) {
        versions.push_back(*version);
      }
    }
  }
  return versions;
}

// Of such an object all code is watched, copies of its functions included.
bool IsIn(const Function& function, const std::vector<UnknownImage>& images) {
  return std::any_of(images.begin(), images.end(),
                     [&](const UnknownImage& image) {
                       return function.entry() >= image.code.begin &&
                              function.entry() < image.code.end;
                     });
}

}  // namespace

absl::StatusOr<WatchedFunctions> WatchedFunctions::Make(
    absl::Span<const Function> functions, Options options) {
  WipedVector<Part> parts;
  std::vector<CodeRange> watched;
  for (const UnknownImage& image : options.images) {
    watched.push_back(image.code);
  }
  std::vector<WipedVector<uintptr_t>> targets =
      AllRedirectionTargets(functions);
  for (std::size_t i = 0; i < functions.size(); ++i) {
    const int number = static_cast<int>(i);
    INSTAR_ASSIGN_OR_RETURN(const std::vector<Function> versions,
                            VersionsOf(functions[i], std::move(targets[i])));
    for (const Function& version : versions) {
      const auto ranges = version.ranges();
      if (ranges.empty()) {
        return absl::FailedPreconditionError(
            absl::StrCat("how far the code of ", version.name(), " in ",
                         version.image(), " reaches is not known"));
      }
      for (const CodeRange& range : ranges) {
        parts.push_back({range, number, version, version});
      }
      if (IsIn(version, options.images)) continue;
      const auto copies =
          version.InlinedCopies(options.read_debug_information, watched);
      if (copies.ok()) {
        for (const InlinedCopy& copy : *copies) {
          parts.push_back({copy.range, number, version, copy.into});
        }
      } else if (version == functions[i] &&
                 version.binding() != SymbolBinding::kGlobal &&
                 !options.ignore_unknown_copies) {
        return copies.status();
      }
    }
  }
  std::vector<std::string> inlined;
  for (const InlinedFunction& function : options.inlined) {
    const InlinedCopy& copy = function.copy;
    parts.push_back({copy.range,
                     static_cast<int>(functions.size() + inlined.size()),
                     copy.into, copy.into});
    inlined.push_back(function.name);
  }
  return WatchedFunctions({functions.begin(), functions.end()},
                          std::move(inlined), std::move(options.images),
                          std::move(parts));
}

WatchedFunctions::WatchedFunctions(std::vector<Function> functions,
                                   std::vector<std::string> inlined,
                                   std::vector<UnknownImage> images,
                                   WipedVector<Part> parts)
    : functions_(std::move(functions)),
      inlined_(std::move(inlined)),
      images_(std::move(images)),
      parts_(std::move(parts)),
      set_({}) {
  std::vector<FunctionRange> ranges;
  ranges.reserve(parts_.size() + images_.size());
  for (const Part& part : parts_) {
    ranges.push_back({part.range.begin, part.range.end, part.function});
  }
  int number = first_image();
  for (const UnknownImage& image : images_) {
    ranges.push_back({image.code.begin, image.code.end, number++});
  }
  set_ = FunctionSet(std::move(ranges));
}

std::string WatchedFunctions::NameOf(const Activity& activity) const {
  if (activity.kind != ActivityKind::kActive || IsImage(activity)) return "";
  const auto number = static_cast<std::size_t>(activity.function);
  return number < functions_.size() ? functions_[number].name()
                                    : inlined_[number - functions_.size()];
}

std::string WatchedFunctions::Describe(const Activity& activity) const {
  if (activity.kind != ActivityKind::kActive) return activity.ToString();
  const auto number = static_cast<std::size_t>(activity.function);
  if (IsImage(activity)) {
    const UnknownImage& image =
        images_[number - functions_.size() - inlined_.size()];
    return absl::StrFormat(
        "active: code of %s at pc %#x, frame %d, of which not all functions "
        "are known: %s",
        image.name, activity.pc, activity.depth, image.why);
  }
  const bool has_code = number < functions_.size();
  std::string text =
      absl::StrFormat("active: %s at pc %#x, frame %d", NameOf(activity),
                      activity.pc, activity.depth);
  // The pc is a return address, which may lie behind the code of its call, or
  // where the innermost frame goes on.
  const Part* found = nullptr;
  for (const uintptr_t pc : {activity.pc - 1, activity.pc}) {
    for (const Part& part : parts_) {
      if (part.function != activity.function || !part.range.Contains(pc)) {
        continue;
      }
      // The copy inside of a version that holds it, too.
      if (found == nullptr || found->into == found->version) found = &part;
    }
    if (found != nullptr) break;
  }
  if (found == nullptr) return text;
  if (has_code && found->version != functions_[number]) {
    absl::StrAppend(&text, ", in its version ", found->version.name());
  }
  if (!has_code || found->into != found->version) {
    absl::StrAppend(&text, ", inlined into ", found->into.name());
  }
  return text;
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/append_members.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "updates/mechanisms/internal/attempt_of_author.h"

namespace instar {
namespace {

using updates_internal::AttemptOfAuthor;

class AppendMembersMechanism final : public Mechanism {
 public:
  explicit AppendMembersMechanism(std::vector<AppendedMember> members)
      : change_(std::move(members)), name_("append " + change_.name()) {}

  std::string name() const override { return name_; }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kTheChange};
  }

  absl::Status Prepare(UpdateForecast& forecast) override {
    INSTAR_ASSIGN_OR_RETURN(const std::size_t objects, change_.Check());
    forecast.remarks.push_back(absl::StrCat(name_, ": ", objects, " objects"));
    return absl::OkStatus();
  }
  std::vector<std::string> LostByUndo() const override {
    return {absl::StrCat("what the ", change_.name(), " hold")};
  }

  Attempt Ready(const StoppedWorld&, Direction) override {
    using Objects = MemberChange::Objects;
    const Objects objects = change_.Look();
    if (objects == Objects::kCanGrow) return Attempt::Done();
    // What it says is made here: the update does not take place now.
    const AuthorsCode its_reason;
    switch (objects) {
      case Objects::kOnStack:
        return Attempt::NotYet(absl::StrCat("an object of ",
                                            change_.class_name(),
                                            " is on a stack, and cannot grow"));
      case Objects::kOfOtherClass:
        return Attempt::NotYet(absl::StrCat(
            "an object of ", change_.class_name(),
            " is of a class that derives from it, or is being made"));
      default:
        return Attempt::Failed(absl::FailedPreconditionError(absl::StrCat(
            "an object of ", change_.class_name(),
            " is a global, a member, or an element, and cannot grow: only "
            "those that `new` makes can")));
    }
  }
  Attempt Apply(const StoppedWorld&) override {
    return AttemptOfAuthor([this] {
      const AuthorsCode its_own;
      return change_.Apply();
    }());
  }
  Attempt Undo(const StoppedWorld&) override {
    const AuthorsCode its_own;
    change_.Undo();
    return Attempt::Done();
  }

 private:
  MemberChange change_;
  const std::string name_;
};

}  // namespace

std::shared_ptr<Mechanism> AppendMembers(std::vector<AppendedMember> members) {
  return std::make_shared<AppendMembersMechanism>(std::move(members));
}

}  // namespace instar

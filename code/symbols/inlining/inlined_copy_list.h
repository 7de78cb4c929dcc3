// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The inlined copies of a program as a list, which an update module brings when
// the program runs without its debug information:
//
//   $ list_inlined_copies shop > shop_copies.txt    (of the build with -g)
//   $ strip --strip-debug shop
//
//   absl::Status ChangeRate(instar::UpdatePlan& plan) {
//     INSTAR_RETURN_IF_ERROR(instar::DeclareInlinedCopies(kShopCopies));
//     plan.Redefine(&Rate, &NewRate);
//     return absl::OkStatus();
//   }
//
// The list is text. Numbers are hexadecimal, addresses those of the file:
//
//     instar inlined copies 1
//     build-id 4f1c9a...
//     copy _ZN4shop4RateEi 12a0 12b4 12bd
//     copy @1180 12a0 12c0 12c0
//     end 2
//
// The first line names the format. A copy has the linkage name of the function
// that was inlined, or @ and its entry if it is known to one source file alone;
// the entry of the function that holds the copy; and where the copy begins and
// ends, which is the same if it left no code. One with several stretches has a
// line for each. The last line counts them.
//
// Threads: any. Takes locks, and reads the symbols of what is loaded.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_INLINED_COPY_LIST_H_
#define INSTAR_CODE_SYMBOLS_INLINING_INLINED_COPY_LIST_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {

// From now on the list says where the functions of that build have been
// inlined, in place of its debug information: all copies must be in it. It is
// asked of the program, or of the shared objects, that are loaded now and have
// that build id, and holds until the process ends, also if the update that
// brought it is refused.
// Errors: InvalidArgument if it is no such list, or names what that build does
// not have; FailedPrecondition if no loaded object has the build id;
// ResourceExhausted.
absl::Status DeclareInlinedCopies(absl::string_view list);

// The list of the copies in the file at `path`, from its debug information.
// Errors: FailedPrecondition if that does not tell all of them, or if the file
// has no build id; those of opening it.
absl::StatusOr<std::string> ListInlinedCopies(const std::string& path);

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INLINING_INLINED_COPY_LIST_H_

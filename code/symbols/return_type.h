// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What functions return, from debug information: the name of a function does
// not tell (Itanium C++ ABI 5.1.5: it is no part of the name of one that is no
// template).
//
//   INSTAR_RETURN_IF_ERROR(CompareReturnTypes(old_function, new_function));
//
// Threads: any. Reads the debug information anew at each call: milliseconds for
// a large file.

#ifndef INSTAR_CODE_SYMBOLS_RETURN_TYPE_H_
#define INSTAR_CODE_SYMBOLS_RETURN_TYPE_H_

#include "absl/status/status.h"
#include "code/symbols/function.h"
#include "code/symbols/static_type.h"

namespace instar {

// Whether a caller of one function can take what the other one returns: the
// same type by name, and by size where an object is returned; numbers of the
// same kind and size are the same, and so are a type and what it is when const.
// Errors: InvalidArgument if they differ; FailedPrecondition if the type of one
// is not known, since its source file was compiled without -g (-g1 is not
// enough), or has no name.
absl::Status CompareReturnTypes(const Function& a, const Function& b);

// The same for `b` of which is known what it returns where the call is written:
// its source file may be without -g. Names of templates and of what is unnamed
// are written in several ways: two that differ are then "not known".
absl::Status CompareReturnTypes(const Function& a, const Function& b,
                                const StaticType& type_of_b);

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_RETURN_TYPE_H_

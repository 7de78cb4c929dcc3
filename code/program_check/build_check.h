// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the program was built with, as far as its file tells, and what of that
// updates cannot rely on.
//
//   for (const std::string& remark : CheckBuild()) Log(remark);
//
// Looked at are the units of the program that were compiled for updates, which
// is to say with -fpatchable-function-entry: the compiler that they name, link
// time optimization, and the flags without which functions are inlined, cloned
// or looked through (UPDATABLE_COPTS in tools/updatable_flags.bzl says what
// each is for); and whether the program asks for shadow stacks.
//
// Threads: any. Reads the program's file, of its debug information the head of
// each unit: some 10 us a unit. Where there is no debug information, nothing is
// said of flags; where it cannot be read, that is said.

#ifndef INSTAR_CODE_PROGRAM_CHECK_BUILD_CHECK_H_
#define INSTAR_CODE_PROGRAM_CHECK_BUILD_CHECK_H_

#include <string>
#include <vector>

namespace instar {

// One sentence each, with the remedy; empty if there is nothing to say.
std::vector<std::string> CheckBuild();

namespace code_internal {

// Of the file at this path, which messages call `name`.
std::vector<std::string> CheckBuildOf(const std::string& path,
                                      const std::string& name);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_PROGRAM_CHECK_BUILD_CHECK_H_

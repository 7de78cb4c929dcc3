// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The version of the library that is linked, as "0.1.0". What was compiled with
// another one finds it differs from INSTAR_VERSION, where that is defined
// (version.bzl).

#ifndef INSTAR_BASE_VERSION_H_
#define INSTAR_BASE_VERSION_H_

namespace instar {

const char* Version();

}  // namespace instar

#endif  // INSTAR_BASE_VERSION_H_

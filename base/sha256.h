// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 (FIPS 180-4): by which the bytes of a file are known again.
//
//   Sha256("abc");               // "ba7816bf8f01cfea4141..."
//   Sha256OfFile(file.number())  // from its start, wherever its position is
//
// Threads: any.

#ifndef INSTAR_BASE_SHA256_H_
#define INSTAR_BASE_SHA256_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {

// 64 hexadecimal digits.
std::string Sha256(absl::string_view bytes);

// Of an open file that can be read at any place. Error: Internal, of the
// system's call.
absl::StatusOr<std::string> Sha256OfFile(int file);

}  // namespace instar

#endif  // INSTAR_BASE_SHA256_H_

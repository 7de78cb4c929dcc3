// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The files that the server hands out, and the fault in it: ReadFile() looks
// for ".." before it decodes the target, so that "/%2e%2e/secret" names a file
// outside of the root.
//
// Threads: any; the root is set before there are any.

#ifndef INSTAR_EXAMPLES_OPUS_FILES_H_
#define INSTAR_EXAMPLES_OPUS_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace file_server {

extern std::string root;  // a folder

// The contents of the file that the target of a request names.
// PermissionDenied: it may not be read; NotFound: there is none.
absl::StatusOr<std::string> ReadFile(const std::string& target);

// What it is made of, and its next version too:
// "/a%20b?x" without its query, "/a%20b".
std::string WithoutQuery(absl::string_view target);
// "/a%20b" is "/a b". What is no hexadecimal number stays as it is.
std::string Decode(absl::string_view path);
// Whether one of the names between the slashes is "..".
bool GoesUp(absl::string_view path);
// Of the file of that path within the root; of a folder its index.html.
absl::StatusOr<std::string> Contents(const std::string& path);

}  // namespace file_server

#endif  // INSTAR_EXAMPLES_OPUS_FILES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a file that a test cannot do without: it ends if there is none.
//
//   EXPECT_EQ(FileContents(path), "text\n");

#ifndef INSTAR_BASE_TESTING_FILE_CONTENTS_H_
#define INSTAR_BASE_TESTING_FILE_CONTENTS_H_

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace instar {

inline std::string FileContents(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  if (!file.is_open() || contents.bad()) {
    std::fprintf(stderr, "%s cannot be read\n", path.c_str());
    std::abort();
  }
  return contents.str();
}

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_FILE_CONTENTS_H_

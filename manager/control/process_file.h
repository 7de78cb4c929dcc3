// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What /proc says of other processes. Internal to this package.

#ifndef INSTAR_MANAGER_CONTROL_PROCESS_FILE_H_
#define INSTAR_MANAGER_CONTROL_PROCESS_FILE_H_

#include <fstream>
#include <iterator>
#include <string>

namespace instar {
namespace manager_internal {

// Empty if it is not there, or must not be read.
inline std::string ReadProcessFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_PROCESS_FILE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What control sockets are called: PROGRAM.PID.sock, so that any number of
// processes of one program have theirs in one folder.

#ifndef INSTAR_MANAGER_CONTROL_SOCKET_NAME_H_
#define INSTAR_MANAGER_CONTROL_SOCKET_NAME_H_

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace instar {
namespace manager_internal {

inline constexpr char kSocketSuffix[] = ".sock";

inline std::string SocketName(absl::string_view program, pid_t pid) {
  return absl::StrCat(program, ".", pid, kSocketSuffix);
}

// "shop.1234.sock" -> shop, 1234; false if it is no name of that form.
inline bool ParseSocketName(absl::string_view file_name, std::string* program,
                            pid_t* pid) {
  if (!absl::ConsumeSuffix(&file_name, kSocketSuffix)) return false;
  const std::size_t dot = file_name.rfind('.');
  if (dot == absl::string_view::npos || dot == 0) return false;
  const absl::string_view digits = file_name.substr(dot + 1);
  if (digits.empty() ||
      digits.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(digits, pid) || *pid <= 0) {
    return false;
  }
  *program = std::string(file_name.substr(0, dot));
  return true;
}

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_SOCKET_NAME_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A socket in place of /dev/log.
//
//   SystemLogForTest socket;
//   setenv("INSTAR_SYSLOG", socket.path().c_str(), 1);
//   ...
//   EXPECT_THAT(socket.Next(), HasSubstr("event=applied"));

#ifndef INSTAR_MANAGER_INTERNAL_SYSTEM_LOG_FOR_TEST_H_
#define INSTAR_MANAGER_INTERNAL_SYSTEM_LOG_FOR_TEST_H_

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "manager/module/file_descriptor.h"

namespace instar {

class SystemLogForTest {
 public:
  SystemLogForTest() : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    char name[] = "/tmp/instar_log.XXXXXX";
    folder_ = mkdtemp(name);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path().c_str());
    EXPECT_EQ(bind(socket_.number(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
              0);
  }
  SystemLogForTest(const SystemLogForTest&) = delete;
  SystemLogForTest& operator=(const SystemLogForTest&) = delete;
  ~SystemLogForTest() {
    unlink(path().c_str());
    rmdir(folder_.c_str());
  }

  std::string path() const { return absl::StrCat(folder_, "/log"); }

  // The oldest line that was not taken; waits for it.
  std::string Next() {
    char line[1 << 14];
    const ssize_t size = recv(socket_.number(), line, sizeof(line), 0);
    return size < 0 ? "" : std::string(line, static_cast<std::size_t>(size));
  }

 private:
  manager_internal::FileDescriptor socket_;
  std::string folder_;
};

}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_SYSTEM_LOG_FOR_TEST_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The control server in a process that has no file descriptors left.

#include <errno.h>
#include <unistd.h>

#include <vector>

#include "base/testing/eventually.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_test/control_server_for_test.h"

namespace instar {
namespace {

using ::testing::IsEmpty;

TEST_F(ControlServerTest, WithoutDescriptorsAClientWaits) {
  Start();
  RawClient client(server_->socket_path());
  client.SendRequest(kStatusRequest);
  EXPECT_TRUE(client.Receive().has_value());
  std::vector<int> all;
  while (true) {
    const int descriptor = dup(0);
    if (descriptor < 0) break;
    all.push_back(descriptor);
  }
  ASSERT_EQ(errno, EMFILE);
  close(all.back());
  all.pop_back();
  RawClient second(server_->socket_path());  // which takes the last one
  second.SendRequest(kStatusRequest);
  client.SendRequest(kStatusRequest);
  EXPECT_TRUE(client.Receive().has_value());
  // Which is said once.
  EXPECT_TRUE(Eventually([&] { return !service_.refused().empty(); }));
  for (const int descriptor : all) close(descriptor);
  EXPECT_EQ(service_.refused().size(), 1u);
  EXPECT_EQ(service_.refused()[0].process, -1);
  EXPECT_TRUE(second.Receive().has_value());
}

TEST_F(ControlServerTest, StartWithoutDescriptorsFails) {
  ASSERT_TRUE(PrepareSocketDirectory().ok());
  std::vector<int> all;
  for (int d = dup(0); d >= 0; d = dup(0)) all.push_back(d);
  // From none that is free to enough of them.
  bool has_started = false;
  for (int free = 0; free < 12 && !has_started; ++free) {
    auto server = ControlServer::Start(service_, "shop");
    has_started = server.ok();
    close(all.back());
    all.pop_back();
  }
  EXPECT_TRUE(has_started);
  for (const int descriptor : all) close(descriptor);
  EXPECT_THAT(*FindPrograms(), IsEmpty());
}

}  // namespace
}  // namespace instar

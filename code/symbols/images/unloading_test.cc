// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects are loaded and unloaded while the program is looked at and changed:
// what is read of an object is read while it cannot be unloaded, and what is
// written goes into the object that was read.

#include <dlfcn.h>

#include <atomic>
#include <string>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/internal/patchable_entries.h"
#include "code/symbols/function.h"
#include "code/updatable_functions_for_test.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kLoads = 300;
#else
constexpr int kLoads = 4000;
#endif

constexpr char kObject[] = "code/libpatchable_entries_test_object.so";

// Calls `look` again and again while another thread loads and unloads the
// object; until that was done `kLoads` times, or `look` fails.
void LookMeanwhile(absl::FunctionRef<absl::Status()> look) {
  std::atomic<bool> stop{false};
  std::atomic<bool> failed{false};
  std::atomic<int> loads{0};
  std::thread loader([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      void* const handle = dlopen(kObject, RTLD_NOW | RTLD_LOCAL);
      if (handle == nullptr || dlclose(handle) != 0) {
        failed = true;
        return;
      }
      ++loads;
    }
  });
  absl::Status status;
  while (loads < kLoads && !failed && status.ok()) status = look();
  stop = true;
  loader.join();
  EXPECT_FALSE(failed);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(UnloadingTest, PatchableEntriesAreListed) {
  const auto plain = reinterpret_cast<uintptr_t>(&Answer);
  LookMeanwhile([&] {
    const auto entries = PatchableEntries::Current();
    if (!entries.ok()) return entries.status();
    return (*entries)->Contains(plain) ? absl::OkStatus()
                                       : absl::NotFoundError("Answer()");
  });
  // Whatever was loaded before: one that is loaded has its entries.
  void* const handle = dlopen(kObject, RTLD_NOW | RTLD_LOCAL);
  const auto entry =
      reinterpret_cast<uintptr_t>(dlsym(handle, "instar_test_loaded_function"));
  const auto entries = PatchableEntries::Current();
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_TRUE((*entries)->Contains(entry));
  dlclose(handle);
}

TEST(UnloadingTest, AllEntriesAreIntercepted) {
  LookMeanwhile([] { return EntryInterception::OfAll().status(); });
}

TEST(UnloadingTest, FunctionsAreFound) {
  LookMeanwhile([] {
    // Of the object, if it is loaded when it is asked for.
    const auto function = Function::Named("instar_test_loaded_function");
    return function.ok() ||
                   function.status().code() == absl::StatusCode::kNotFound
               ? absl::OkStatus()
               : function.status();
  });
}

TEST(UnloadingTest, FunctionsAreRedirected) {
  LookMeanwhile([] {
    auto redirection = Redirect(&Answer, &Answer2);
    return redirection.ok() ? redirection->Undo() : redirection.status();
  });
  EXPECT_EQ(Answer(1), 101);
}

}  // namespace
}  // namespace instar

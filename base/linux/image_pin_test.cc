// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/image_pin.h"

#include <dlfcn.h>
#include <link.h>

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace instar {
namespace {

// A small library that nothing else uses.
constexpr char kObject[] = "libBrokenLocale.so.1";

struct Loaded {
  std::string name;
  std::uintptr_t load_base = 0;
  bool found = false;
};

Loaded Find() {
  Loaded loaded;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        auto& loaded = *static_cast<Loaded*>(result);
        const std::string name = info->dlpi_name;
        if (name.find(kObject) == std::string::npos) return 0;
        loaded = {name, info->dlpi_addr, true};
        return 1;
      },
      &loaded);
  return loaded;
}

class ImagePinTest : public testing::Test {
 protected:
  void SetUp() override {
    handle_ = dlopen(kObject, RTLD_LAZY);
    ASSERT_NE(handle_, nullptr) << dlerror();
    loaded_ = Find();
    ASSERT_TRUE(loaded_.found);
  }

  void* handle_ = nullptr;
  Loaded loaded_;
};

TEST_F(ImagePinTest, KeepsAnObjectLoadedWhileItExists) {
  {
    ImagePin pin(loaded_.name, loaded_.load_base);
    EXPECT_TRUE(pin.ok());
    dlclose(handle_);
    EXPECT_TRUE(Find().found);
    ImagePin moved = std::move(pin);
    EXPECT_FALSE(pin.ok());  // NOLINT: what a moved pin is
    EXPECT_TRUE(moved.ok());
    pin = ImagePin();
    EXPECT_TRUE(Find().found);
  }
  EXPECT_FALSE(Find().found);
  EXPECT_FALSE(ImagePin(loaded_.name, loaded_.load_base).ok());
}

TEST_F(ImagePinTest, AnotherPlaceIsAnotherObject) {
  {
    const ImagePin pin(loaded_.name, loaded_.load_base + 0x1000);
    EXPECT_FALSE(pin.ok());
    EXPECT_FALSE(pin.ForEver());
  }
  dlclose(handle_);
  EXPECT_FALSE(Find().found);
}

TEST_F(ImagePinTest, ForEverOutlivesThePin) {
  EXPECT_TRUE(ImagePin(loaded_.name, loaded_.load_base).ForEver());
  dlclose(handle_);
  EXPECT_TRUE(Find().found);
}

TEST(ImagePinProgramTest, TheProgramIsNeverUnloaded) {
  const ImagePin pin("", 0);
  EXPECT_TRUE(pin.ok());
  EXPECT_TRUE(pin.ForEver());
}

}  // namespace
}  // namespace instar

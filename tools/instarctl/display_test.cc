// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/display.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

namespace instar {
namespace instarctl {
namespace {

// What a display has written since it was asked last.
class Screen {
 public:
  explicit Screen(ScreenSize size)
      : stream_(open_memstream(&text_, &size_)), display_(stream_, size) {}
  ~Screen() {
    std::fclose(stream_);
    std::free(text_);
  }

  LiveDisplay& display() { return display_; }
  std::string Take() {
    std::fflush(stream_);
    const std::string text(text_ + taken_, size_ - taken_);
    taken_ = size_;
    return text;
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::size_t taken_ = 0;
  std::FILE* stream_;
  LiveDisplay display_;
};

TEST(LiveDisplayTest, ATerminalIsWrittenOver) {
  Screen screen({10, 5});
  screen.display().Show({"one", "twoandmore!"});
  EXPECT_EQ(screen.Take(), "one\ntwoandmore!\n");
  screen.display().Show({"three"});
  EXPECT_EQ(screen.Take(), "\x1b[4A\r\x1b[Jthree\n");
  screen.display().Clear();
  EXPECT_EQ(screen.Take(), "\x1b[1A\r\x1b[J");
  screen.display().Clear();
  EXPECT_EQ(screen.Take(), "");
}

TEST(LiveDisplayTest, WhatDoesNotFitIsLeftOut) {
  Screen screen({4, 5});
  screen.display().Show({"1", "2", "3"});
  EXPECT_EQ(screen.Take(), "1\n2\n3\n");
  screen.display().Show({"1", "2", "3", "4"});
  EXPECT_EQ(screen.Take(), "\x1b[3A\r\x1b[J1\n2\n... (2 more)\n");
  screen.display().Show({"1", "222222", "3"});
  EXPECT_EQ(screen.Take(), "\x1b[3A\r\x1b[J1\n... (2 more)\n");
  screen.display().Show({});
  EXPECT_EQ(screen.Take(), "\x1b[2A\r\x1b[J");
}

TEST(LiveDisplayTest, APipeGetsWhatIsNew) {
  Screen screen({0, 0});
  screen.display().Show({"one", "two and more"});
  EXPECT_EQ(screen.Take(), "one\ntwo and more\n");
  screen.display().Show({"one", "three"});
  EXPECT_EQ(screen.Take(), "three\n");
  screen.display().Show({"one", "three"});
  EXPECT_EQ(screen.Take(), "");
  screen.display().Show({"two and more"});  // again, after it was gone
  EXPECT_EQ(screen.Take(), "two and more\n");
  screen.display().Clear();
  EXPECT_EQ(screen.Take(), "");
}

TEST(RowsOfTest, CountsWhatIsSeen) {
  EXPECT_EQ(RowsOf("", 3), 1u);
  EXPECT_EQ(RowsOf("abc", 3), 1u);
  EXPECT_EQ(RowsOf("abcd", 3), 2u);
  EXPECT_EQ(RowsOf("\x1b[31mabc\x1b[0m", 3), 1u);
  EXPECT_EQ(RowsOf("\x1b[31mabcd\x1b[0m", 3), 2u);
  EXPECT_EQ(RowsOf("a\xc3\xa9z", 3), 1u);
  EXPECT_EQ(RowsOf("abc\x1b[3", 3), 1u);  // cut off
}

TEST(LiveDisplayTest, AFileIsNoTerminal) {
  std::FILE* const file = std::tmpfile();
  EXPECT_EQ(ScreenSizeOf(fileno(file)).columns, 0u);
  std::fclose(file);
}

}  // namespace
}  // namespace instarctl
}  // namespace instar

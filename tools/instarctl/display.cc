// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace instar {
namespace instarctl {

ScreenSize ScreenSizeOf(int descriptor) {
  if (isatty(descriptor) == 0) return {};
  winsize size = {};
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 ||
      size.ws_row == 0) {
    return {24, 80};
  }
  return {size.ws_row, size.ws_col};
}

void LiveDisplay::Show(std::vector<std::string> lines) {
  std::string text;
  if (is_terminal()) {
    if (shown_rows_ > 0) {
      // Up to the first line, and everything from there on away.
      absl::StrAppend(&text, "\x1b[", shown_rows_, "A\r\x1b[J");
    }
    // The cursor stands below them, and does not get at what is scrolled away.
    const std::size_t room = size_.rows - 1;
    shown_rows_ = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::size_t rows = RowsOf(lines[i], size_.columns);
      const std::size_t reserved = i + 1 < lines.size() ? 1 : 0;
      if (shown_rows_ + rows + reserved > room) {
        absl::StrAppend(&text, "... (", lines.size() - i, " more)\n");
        ++shown_rows_;
        break;
      }
      absl::StrAppend(&text, lines[i], "\n");
      shown_rows_ += rows;
    }
  } else {
    for (const std::string& line : lines) {
      if (std::find(shown_.begin(), shown_.end(), line) == shown_.end()) {
        absl::StrAppend(&text, line, "\n");
      }
    }
  }
  std::fputs(text.c_str(), out_);
  std::fflush(out_);
  shown_ = std::move(lines);
}

void LiveDisplay::Clear() {
  if (is_terminal()) Show({});
  shown_.clear();
}

std::size_t RowsOf(absl::string_view line, std::size_t columns) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      i = std::min(line.find('m', i), line.size());
    } else if ((line[i] & 0xc0) != 0x80) {  // the first of a UTF-8 sequence
      ++width;
    }
  }
  return std::max<std::size_t>(1, (width + columns - 1) / columns);
}

}  // namespace instarctl
}  // namespace instar

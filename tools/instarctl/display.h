// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Text that changes while one looks at it. On a terminal, what was shown is
// replaced; what does not fit on it is left out. Elsewhere (a pipe, a file)
// each line is written when it is new: not if it was there the time before.
//
//   LiveDisplay display(stdout, ScreenSizeOf(STDOUT_FILENO));
//   while (...) display.Show(WaitingLines(...));
//   display.Clear();
//
// Threads: one at a time.

#ifndef INSTAR_TOOLS_INSTARCTL_DISPLAY_H_
#define INSTAR_TOOLS_INSTARCTL_DISPLAY_H_

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace instar {
namespace instarctl {

struct ScreenSize {
  std::size_t rows = 0;
  std::size_t columns = 0;  // 0: it is no terminal
};

ScreenSize ScreenSizeOf(int descriptor);

class LiveDisplay {
 public:
  LiveDisplay(std::FILE* out, ScreenSize size) : out_(out), size_(size) {}

  void Show(std::vector<std::string> lines);
  // Takes off a terminal what was shown.
  void Clear();

 private:
  bool is_terminal() const { return size_.columns > 0; }

  std::FILE* const out_;
  const ScreenSize size_;
  std::vector<std::string> shown_;
  std::size_t shown_rows_ = 0;
};

// How many rows of a screen the line takes, at least one; colour codes take no
// room, UTF-8 sequences that of one column.
std::size_t RowsOf(absl::string_view line, std::size_t columns);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_DISPLAY_H_

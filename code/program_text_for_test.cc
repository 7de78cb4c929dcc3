// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_text_for_test.h"

#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <cstddef>

#include "base/check.h"

namespace instar {
namespace code_test {
namespace {

// Read through the kernel: AddressSanitizer guards the constants that the
// linker may put beside the code.
int AddText(dl_phdr_info* info, std::size_t, void* result) {
  const int memory = open("/proc/self/mem", O_RDONLY);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    std::string text(segment.p_memsz, '\0');
    INSTAR_CHECK(pread(memory, &text[0], text.size(),
                       static_cast<off_t>(info->dlpi_addr + segment.p_vaddr)) ==
                 static_cast<ssize_t>(text.size()))
        << "the program's code cannot be read";
    *static_cast<std::string*>(result) += text;
  }
  close(memory);
  return 1;  // the program alone
}

}  // namespace

std::string ProgramText() {
  std::string text;
  dl_iterate_phdr(&AddText, &text);
  INSTAR_CHECK(!text.empty()) << "the program has no code";
  return text;
}

}  // namespace code_test
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/debug_file.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace instar {
namespace code_internal {
namespace {

std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0);
    }
    table[i] = value;
  }
  return table;
}

// The CRC-32 of IEEE 802.3 of the whole file.
uint32_t Checksum(int file) {
  static const std::array<uint32_t, 256> table = MakeCrcTable();
  std::vector<unsigned char> buffer(1 << 16);
  uint32_t crc = ~0u;
  off_t offset = 0;
  for (ssize_t length;
       (length = pread(file, buffer.data(), buffer.size(), offset)) > 0;
       offset += length) {
    for (ssize_t i = 0; i < length; ++i) {
      crc = table[(crc ^ buffer[i]) & 0xff] ^ (crc >> 8);
    }
  }
  return ~crc;
}

}  // namespace

std::string FindDebugFile(Elf* elf, absl::string_view path) {
  GElf_Word checksum = 0;
  const char* name = dwelf_elf_gnu_debuglink(elf, &checksum);
  if (name == nullptr) return "";
  const absl::string_view folder = path.substr(0, path.rfind('/') + 1);
  for (const std::string& candidate :
       {absl::StrCat(folder, name), absl::StrCat(folder, ".debug/", name),
        absl::StrCat("/usr/lib/debug", folder, name)}) {
    const int file = open(candidate.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    const bool is_right = Checksum(file) == checksum;
    close(file);
    if (is_right) return candidate;
  }
  return "";
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/debug_file.h"

#include <elf.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/linux/mapped_file.h"
#include "base/linux/own_descriptor.h"
#include "code/symbols/images/elf_file.h"

namespace instar {
namespace code_internal {
namespace {

constexpr std::array<uint32_t, 256> MakeCrcTable() {
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
  static constexpr std::array<uint32_t, 256> table = MakeCrcTable();
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

absl::string_view BuildIdOf(Elf* elf) {
  const void* bytes = nullptr;
  const ssize_t size = dwelf_elf_gnu_build_id(elf, &bytes);
  if (size <= 0) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

bool HasBuildId(int file, absl::string_view wanted) {
  const TruncationGuard guard;  // it may be overwritten at any time
  const absl::StatusOr<ElfFile> read = ElfFile::Of(file);
  const bool is_right = read.ok() && BuildIdOf(read->elf()) == wanted;
  return is_right && !guard.has_hit();
}

}  // namespace

std::string FindDebugFileOf(absl::string_view build_id,
                            absl::string_view folder) {
  if (build_id.size() < 2) return "";
  std::string path = absl::StrCat(
      folder, "/.build-id/", absl::BytesToHexString(build_id.substr(0, 1)), "/",
      absl::BytesToHexString(build_id.substr(1)), ".debug");
  const OwnDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file.is_open() && HasBuildId(file.number(), build_id) ? path : "";
}

std::string FindDebugFile(Elf* elf, absl::string_view path) {
  GElf_Word checksum = 0;
  const char* name = dwelf_elf_gnu_debuglink(elf, &checksum);
  if (name == nullptr) return "";
  const absl::string_view folder = path.substr(0, path.rfind('/') + 1);
  for (const std::string& candidate :
       {absl::StrCat(folder, name), absl::StrCat(folder, ".debug/", name),
        absl::StrCat("/usr/lib/debug", folder, name)}) {
    const OwnDescriptor file(open(candidate.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.is_open() && Checksum(file.number()) == checksum) return candidate;
  }
  return "";
}

}  // namespace code_internal
}  // namespace instar

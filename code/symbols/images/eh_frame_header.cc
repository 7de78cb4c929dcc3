// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/eh_frame_header.h"

#include <cstring>

namespace instar {
namespace code_internal {
namespace {

// DW_EH_PE_pcrel | DW_EH_PE_sdata4, and so on.
constexpr char kPcRelative4 = 0x1b;
constexpr char kUnsigned4 = 0x03;
constexpr char kDataRelative4 = 0x3b;

template <typename T>
T Read(absl::string_view bytes, size_t offset) {
  T value{};
  if (offset <= bytes.size() && bytes.size() - offset >= sizeof(T)) {
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
  }
  return value;
}

// How long the code is that this frame description entry describes. All
// compilers for x86-64 write the start as a 4-byte offset, and then the length
// takes 4 bytes too; it is checked by the start.
uintptr_t LengthOf(absl::string_view entry, uintptr_t entry_address,
                   uintptr_t start) {
  constexpr size_t kStartOffset = 8;  // behind the length and the CIE pointer
  if (Read<uint32_t>(entry, 0) == 0xffffffff) return 0;  // 64-bit DWARF
  const int32_t offset = Read<int32_t>(entry, kStartOffset);
  if (entry_address + kStartOffset + offset != start) return 0;
  return Read<uint32_t>(entry, kStartOffset + 4);
}

}  // namespace

std::vector<CodeRange> ReadEhFrameHeader(
    uintptr_t address, absl::string_view bytes,
    absl::FunctionRef<absl::string_view(uintptr_t)> loaded_at) {
  // version, encoding of the pointer to .eh_frame, of the count, of the table
  if (bytes.size() < 12 || bytes[0] != 1 || bytes[1] != kPcRelative4 ||
      bytes[2] != kUnsigned4 || bytes[3] != kDataRelative4) {
    return {};
  }
  const size_t count = Read<uint32_t>(bytes, 8);
  if (count > (bytes.size() - 12) / 8) return {};
  std::vector<CodeRange> ranges;
  ranges.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t start = address + Read<int32_t>(bytes, 12 + 8 * i);
    const uintptr_t entry = address + Read<int32_t>(bytes, 16 + 8 * i);
    ranges.push_back({start, start + LengthOf(loaded_at(entry), entry, start)});
  }
  return ranges;
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads the encodings that .eh_frame and language-specific data areas are made
// of: little-endian integers, LEB128 numbers and encoded pointers.
//
//   DwarfReader reader(table, end);
//   uint64_t length = reader.Uleb128();
//   std::uintptr_t start = reader.Pointer(encoding, {region_start});
//   if (!reader.ok()) return kMalformed;
//
// A reader never reads at or past its end: it returns zeros from then on and
// ok() is false. Pass DwarfReader::kNoEnd where the format does not tell the
// end beforehand.
//
// Threads: a reader belongs to one thread. Async-signal-safe: it allocates
// nothing and takes no lock.
// Source: DWARF 4, section 7.6; Linux Standard Base Core, section "DWARF
// Extensions" (pointer encodings).

#ifndef INSTAR_BASE_DWARF_READER_H_
#define INSTAR_BASE_DWARF_READER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace instar {

// DW_EH_PE_*: the lower four bits say how a value is stored, the next three
// what it is relative to, the highest that it is the address of the value.
enum PointerEncoding : std::uint8_t {
  kPointerAbsolute = 0x00,
  kPointerUleb128 = 0x01,
  kPointerUdata2 = 0x02,
  kPointerUdata4 = 0x03,
  kPointerUdata8 = 0x04,
  kPointerSleb128 = 0x09,
  kPointerSdata2 = 0x0a,
  kPointerSdata4 = 0x0b,
  kPointerSdata8 = 0x0c,
  kPointerFormatMask = 0x0f,
  kPointerPcRelative = 0x10,
  kPointerDataRelative = 0x30,
  kPointerRelationMask = 0x70,
  kPointerIndirect = 0x80,
  kPointerOmitted = 0xff,
};

class DwarfReader {
 public:
  static constexpr std::uintptr_t kNoEnd = ~std::uintptr_t{0};

  DwarfReader(std::uintptr_t at, std::uintptr_t end) : at_(at), end_(end) {}

  bool ok() const { return ok_; }
  bool AtEnd() const { return at_ >= end_; }
  std::uintptr_t at() const { return at_; }

  void Skip(std::uint64_t bytes) {
    if (Available(bytes)) at_ += bytes;
  }

  template <typename T>
  T Fixed() {
    T value{};
    if (Available(sizeof(T))) {
      std::memcpy(&value, reinterpret_cast<const void*>(at_), sizeof(T));
      at_ += sizeof(T);
    }
    return value;
  }

  std::uint8_t Byte() { return Fixed<std::uint8_t>(); }

  std::uint64_t Uleb128() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const std::uint8_t byte = Byte();
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
  }

  std::int64_t Sleb128() {
    std::uint64_t value = 0;
    unsigned shift = 0;
    std::uint8_t byte;
    do {
      byte = Byte();
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      shift += 7;
    } while ((byte & 0x80) != 0);
    if (shift < 64 && (byte & 0x40) != 0) value |= ~std::uint64_t{0} << shift;
    return static_cast<std::int64_t>(value);
  }

  // A value of `encoding`. `data_base` is what data-relative ones refer to. A
  // stored zero is a null pointer whatever it is relative to.
  std::uintptr_t Pointer(std::uint8_t encoding, std::uintptr_t data_base = 0) {
    if (encoding == kPointerOmitted) return 0;
    const std::uintptr_t here = at_;
    std::uintptr_t value = 0;
    switch (encoding & kPointerFormatMask) {
      case kPointerAbsolute:
      case kPointerUdata8:
      case kPointerSdata8:
        value = Fixed<std::uint64_t>();
        break;
      case kPointerUleb128:
        value = Uleb128();
        break;
      case kPointerSleb128:
        value = static_cast<std::uintptr_t>(Sleb128());
        break;
      case kPointerUdata2:
        value = Fixed<std::uint16_t>();
        break;
      case kPointerUdata4:
        value = Fixed<std::uint32_t>();
        break;
      case kPointerSdata2:
        value =
            static_cast<std::uintptr_t>(std::int64_t{Fixed<std::int16_t>()});
        break;
      case kPointerSdata4:
        value =
            static_cast<std::uintptr_t>(std::int64_t{Fixed<std::int32_t>()});
        break;
      default:
        ok_ = false;
    }
    if (!ok_ || value == 0) return 0;
    switch (encoding & kPointerRelationMask) {
      case kPointerAbsolute:
        break;
      case kPointerPcRelative:
        value += here;
        break;
      case kPointerDataRelative:
        value += data_base;
        break;
      default:
        ok_ = false;
        return 0;
    }
    if ((encoding & kPointerIndirect) != 0) {
      std::memcpy(&value, reinterpret_cast<const void*>(value), sizeof(value));
    }
    return value;
  }

 private:
  bool Available(std::uint64_t bytes) {
    if (at_ > end_ || end_ - at_ < bytes) ok_ = false;
    return ok_;
  }

  std::uintptr_t at_;
  std::uintptr_t end_;
  bool ok_ = true;
};

}  // namespace instar

#endif  // INSTAR_BASE_DWARF_READER_H_

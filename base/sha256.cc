// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/sha256.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/status/status.h"

namespace instar {
namespace {

constexpr std::size_t kBlock = 64;  // bytes

// Section 4.2.2.
constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t Rotated(std::uint32_t x, int n) { return x >> n | x << (32 - n); }

class Digest {
 public:
  void Add(absl::string_view bytes) {
    size_ += bytes.size();
    while (!bytes.empty()) {
      const std::size_t part = std::min(bytes.size(), kBlock - filled_);
      std::memcpy(block_ + filled_, bytes.data(), part);
      bytes.remove_prefix(part);
      filled_ += part;
      if (filled_ == kBlock) AddBlock();
    }
  }

  std::string Finish() {
    const std::uint64_t bits = size_ * 8;
    Add(absl::string_view("\x80", 1));
    while (filled_ != kBlock - sizeof(bits)) Add(absl::string_view("\0", 1));
    char big_endian[sizeof(bits)];
    for (std::size_t i = 0; i < sizeof(bits); ++i) {
      big_endian[i] = static_cast<char>(bits >> (56 - 8 * i));
    }
    Add({big_endian, sizeof(big_endian)});
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string digits;
    for (const std::uint32_t word : hash_) {
      for (int shift = 28; shift >= 0; shift -= 4) {
        digits += kDigits[word >> shift & 15];
      }
    }
    return digits;
  }

 private:
  // Section 6.2.2.
  void AddBlock() {
    std::uint32_t w[64];
    for (int i = 0; i < 16; ++i) {
      w[i] = std::uint32_t{block_[4 * i]} << 24 |
             std::uint32_t{block_[4 * i + 1]} << 16 |
             std::uint32_t{block_[4 * i + 2]} << 8 | block_[4 * i + 3];
    }
    for (int i = 16; i < 64; ++i) {
      const std::uint32_t s0 =
          Rotated(w[i - 15], 7) ^ Rotated(w[i - 15], 18) ^ w[i - 15] >> 3;
      const std::uint32_t s1 =
          Rotated(w[i - 2], 17) ^ Rotated(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    std::uint32_t h[8];
    std::copy(std::begin(hash_), std::end(hash_), h);
    for (int i = 0; i < 64; ++i) {
      const std::uint32_t s1 =
          Rotated(h[4], 6) ^ Rotated(h[4], 11) ^ Rotated(h[4], 25);
      const std::uint32_t choice = (h[4] & h[5]) ^ (~h[4] & h[6]);
      const std::uint32_t t1 = h[7] + s1 + choice + kRound[i] + w[i];
      const std::uint32_t s0 =
          Rotated(h[0], 2) ^ Rotated(h[0], 13) ^ Rotated(h[0], 22);
      const std::uint32_t majority =
          (h[0] & h[1]) ^ (h[0] & h[2]) ^ (h[1] & h[2]);
      std::copy_backward(h, h + 7, h + 8);
      h[4] += t1;
      h[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; ++i) hash_[i] += h[i];
    filled_ = 0;
  }

  std::uint32_t hash_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  unsigned char block_[kBlock];
  std::size_t filled_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace

std::string Sha256(absl::string_view bytes) {
  Digest digest;
  digest.Add(bytes);
  return digest.Finish();
}

absl::StatusOr<std::string> Sha256OfFile(int file) {
  Digest digest;
  std::vector<char> buffer(1 << 16);
  off_t at = 0;
  while (true) {
    const ssize_t length = pread(file, buffer.data(), buffer.size(), at);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) {
      return absl::InternalError(std::string("a file cannot be read: ") +
                                 std::strerror(errno));
    }
    if (length == 0) return digest.Finish();
    digest.Add({buffer.data(), static_cast<std::size_t>(length)});
    at += length;
  }
}

}  // namespace instar

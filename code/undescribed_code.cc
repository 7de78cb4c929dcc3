// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/undescribed_code.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/linux/image_pin.h"
#include "code/code_range.h"
#include "code/inlined_copies.h"

namespace instar {
namespace code_internal {
namespace {

// A reference, from where and to what.
using Reference = std::pair<const FunctionRecord*, const FunctionRecord*>;

// Whether the four bytes at `code` may be the distance that an instruction
// refers to (Intel SDM, volume 2): that of a call or jump, or of lea with an
// address relative to the next instruction.
bool MayBeDistance(const unsigned char* code, std::size_t before) {
  constexpr unsigned char kCall = 0xE8;
  constexpr unsigned char kJump = 0xE9;
  constexpr unsigned char kLea = 0x8D;
  if (before >= 1 && (code[-1] == kCall || code[-1] == kJump)) return true;
  if (before >= 2 && code[-2] == 0x0F && (code[-1] & 0xF0) == 0x80) return true;
  return before >= 2 && code[-2] == kLea && (code[-1] & 0xC7) == 0x05;
}

// All four bytes that happen to look like a reference are taken for one: of a
// megabyte of code some thousand may, and of those one in a million leads to
// the entry of a function.
void FindReferences(const LoadedImage& image, const FunctionRecord& from,
                    std::vector<Reference>& found) {
  constexpr std::size_t kSize = sizeof(std::int32_t);
  const SymbolTable& symbols = *image.symbols;
  for (const CodeRange& range : symbols.ranges(from)) {
    if (range.begin >= range.end ||
        !image.code.Contains(image.load_base + range.begin) ||
        !image.code.Contains(image.load_base + range.end - 1)) {
      continue;  // no code, whatever its symbol says
    }
    const auto* const code =
        reinterpret_cast<const unsigned char*>(image.load_base + range.begin);
    const std::size_t size = range.end - range.begin;
    for (std::size_t at = 1; at + kSize <= size; ++at) {
      if (!MayBeDistance(code + at, at)) continue;
      std::int32_t distance = 0;
      std::memcpy(&distance, code + at, kSize);
      const FunctionRecord* const target = symbols.FindEntry(
          range.begin + at + kSize +
          static_cast<std::uintptr_t>(static_cast<std::intptr_t>(distance)));
      if (target != nullptr && target->binding == SymbolBinding::kWeak &&
          target != &from) {
        found.emplace_back(target, &from);
      }
    }
  }
}

std::vector<Reference> FindReferences(const LoadedImage& image) {
  std::vector<Reference> found;
  for (const FunctionRecord* from : UndescribedFunctions(*image.symbols)) {
    FindReferences(image, *from, found);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace

std::vector<const FunctionRecord*> UndescribedFunctions(
    const SymbolTable& symbols) {
  const InlinedCopyTable& copies = InlinedCopyTable::Of(symbols);
  std::vector<const FunctionRecord*> functions;
  for (const FunctionRecord& function : symbols.functions()) {
    if (function.has_patchable_entry || function.size == 0 ||
        copies.Covers(function.entry)) {
      continue;
    }
    functions.push_back(&function);
  }
  return functions;
}

std::vector<const FunctionRecord*> UndescribedUsersOf(
    const LoadedImage& image, const FunctionRecord& function) {
  static std::mutex& mutex = *new std::mutex;
  static auto& all =
      *new absl::flat_hash_map<const SymbolTable*,
                               std::unique_ptr<const std::vector<Reference>>>;
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<const std::vector<Reference>>& references =
      all[image.symbols];
  if (references == nullptr) {
    const ImagePin pin = LoadedImages::Pin(image);
    if (!pin.ok()) return {};
    references =
        std::make_unique<const std::vector<Reference>>(FindReferences(image));
  }
  std::vector<const FunctionRecord*> users;
  auto at = std::lower_bound(references->begin(), references->end(),
                             Reference(&function, nullptr));
  for (; at != references->end() && at->first == &function; ++at) {
    users.push_back(at->second);
  }
  return users;
}

}  // namespace code_internal
}  // namespace instar

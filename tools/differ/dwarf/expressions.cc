// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/expressions.h"

#include <dwarf.h>

#include <cstring>

namespace instar {
namespace differ {
namespace {

std::uint64_t EightBytes(absl::string_view bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

std::optional<std::uint64_t> Leb128(absl::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    value |= std::uint64_t{byte & 0x7fu} << (7 * i);
    if ((byte & 0x80) == 0) {
      if (i + 1 != bytes.size()) return std::nullopt;
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<StaticLocation> StaticLocationOf(const DieTree& dies,
                                               DieIndex variable) {
  const DieAttribute* const location = dies.Find(variable, DW_AT_location);
  if (location == nullptr || location->kind != DieAttribute::Kind::kBlock) {
    return std::nullopt;
  }
  const absl::string_view expression = location->block();
  if (expression.size() == 9 && expression[0] == DW_OP_addr) {
    return StaticLocation{EightBytes(expression.substr(1)), false};
  }
  if (expression.size() == 10 && expression[0] == DW_OP_const8u) {
    const auto last = static_cast<unsigned char>(expression[9]);
    if (last == DW_OP_form_tls_address || last == DW_OP_GNU_push_tls_address) {
      return StaticLocation{EightBytes(expression.substr(1)), true};
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ConstantExpression(absl::string_view expression) {
  if (expression.empty()) return std::nullopt;
  const auto operation = static_cast<unsigned char>(expression[0]);
  if (operation >= DW_OP_lit0 && operation <= DW_OP_lit31 &&
      expression.size() == 1) {
    return operation - DW_OP_lit0;
  }
  if (operation == DW_OP_constu || operation == DW_OP_plus_uconst) {
    return Leb128(expression.substr(1));
  }
  if (operation == DW_OP_const1u && expression.size() == 2) {
    return static_cast<unsigned char>(expression[1]);
  }
  return std::nullopt;
}

}  // namespace differ
}  // namespace instar

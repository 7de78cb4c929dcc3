// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The instructions of a function in an object, as far as two builds of it are
// compared by them.

#ifndef INSTAR_TOOLS_DIFFER_EXPLAIN_INSTRUCTIONS_H_
#define INSTAR_TOOLS_DIFFER_EXPLAIN_INSTRUCTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/differ/elf_file.h"

namespace instar {
namespace differ {

struct Instruction {
  std::uint64_t offset;  // in the section
  std::string text;      // "mov eax, [rdi+0x08]"
  // What it does, and with what kind of operands: without registers, numbers,
  // and whatever lies on the stack.
  std::string kind;
  std::string registers;  // also how far jumps go, and where on the stack
  // A distance from an object's address, as that of a member; of `lea` also
  // what is added to a number.
  std::optional<std::int64_t> displacement;
  bool is_lea = false;
  std::optional<std::uint64_t> immediate;
  std::vector<const Relocation*> references;
  bool is_call = false;  // or a jump to another function
  bool is_branch = false;
  // Saves or restores a register, moves the stack pointer, or does nothing.
  bool is_of_frame = false;
};

// Those of a section with code, as far as they can be read.
std::vector<Instruction> InstructionsOf(const Section& code);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_EXPLAIN_INSTRUCTIONS_H_

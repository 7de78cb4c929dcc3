// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/explain/instructions.h"

#include <algorithm>

#include "Zydis/Zydis.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {
namespace {

bool IsStackRegister(ZydisRegister reg) {
  return reg == ZYDIS_REGISTER_RSP || reg == ZYDIS_REGISTER_ESP;
}

bool IsFrameRegister(ZydisRegister reg) {
  return IsStackRegister(reg) || reg == ZYDIS_REGISTER_RBP;
}

bool IsOfFrame(const ZydisDecodedInstruction& instruction,
               const ZydisDecodedOperand* operands) {
  switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_LEAVE:
      return true;
    case ZYDIS_MNEMONIC_PUSH:
      return operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_AND:
      return operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
             (IsStackRegister(operands[0].reg.value) ||
              (instruction.mnemonic == ZYDIS_MNEMONIC_MOV &&
               operands[0].reg.value == ZYDIS_REGISTER_RBP &&
               operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER));
    default:
      return false;
  }
}

void DescribeOperand(const ZydisDecodedOperand& operand, bool is_referred,
                     Instruction& out) {
  switch (operand.type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
      absl::StrAppend(&out.kind, " r", operand.size);
      absl::StrAppend(&out.registers, " ",
                      ZydisRegisterGetString(operand.reg.value));
      break;
    case ZYDIS_OPERAND_TYPE_MEMORY: {
      const auto& memory = operand.mem;
      const bool is_on_stack = IsFrameRegister(memory.base);
      absl::StrAppend(&out.kind, " m", operand.size, is_on_stack ? "s" : "",
                      memory.base == ZYDIS_REGISTER_RIP ? "p" : "",
                      memory.index == ZYDIS_REGISTER_NONE
                          ? ""
                          : absl::StrCat("*", memory.scale));
      absl::StrAppend(&out.registers, " ", ZydisRegisterGetString(memory.base),
                      " ", ZydisRegisterGetString(memory.index));
      if (is_on_stack || memory.base == ZYDIS_REGISTER_RIP) {
        if (!is_referred) absl::StrAppend(&out.registers, memory.disp.value);
      } else if (!is_referred) {
        out.displacement = memory.disp.value;
      }
      break;
    }
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
      absl::StrAppend(&out.kind, " i");
      if (is_referred) break;
      if (operand.imm.is_relative) {
        absl::StrAppend(&out.registers, " ", operand.imm.value.s);
      } else {
        out.immediate = operand.imm.value.u;
      }
      break;
    default:
      absl::StrAppend(&out.kind, " ?");
  }
}

}  // namespace

std::vector<Instruction> InstructionsOf(const Section& code) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  ZydisFormatter formatter;
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
  std::vector<Instruction> result;
  auto relocation = code.relocations.begin();
  for (std::uint64_t at = 0; at < code.bytes.size();) {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.bytes.data() + at,
                                             code.bytes.size() - at,
                                             &instruction, operands))) {
      break;
    }
    Instruction one = {};
    one.offset = at;
    const std::uint64_t end = at + instruction.length;
    while (relocation != code.relocations.end() && relocation->offset < end) {
      one.references.push_back(&*relocation++);
    }
    // Fields that the linker fills in say nothing.
    const auto is_referred = [&](std::uint64_t field, std::uint64_t size) {
      return size != 0 &&
             std::any_of(one.references.begin(), one.references.end(),
                         [&](const Relocation* reference) {
                           return reference->offset == at + field;
                         });
    };
    one.kind = ZydisMnemonicGetString(instruction.mnemonic);
    for (int i = 0; i < instruction.operand_count_visible; ++i) {
      const bool is_immediate =
          operands[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
      DescribeOperand(operands[i],
                      is_immediate ? is_referred(instruction.raw.imm[0].offset,
                                                 instruction.raw.imm[0].size)
                                   : is_referred(instruction.raw.disp.offset,
                                                 instruction.raw.disp.size),
                      one);
    }
    one.is_branch = instruction.meta.category == ZYDIS_CATEGORY_COND_BR ||
                    instruction.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
    one.is_lea = instruction.mnemonic == ZYDIS_MNEMONIC_LEA;
    one.is_of_frame = IsOfFrame(instruction, operands);
    one.is_call = !one.references.empty() &&
                  (instruction.meta.category == ZYDIS_CATEGORY_CALL ||
                   instruction.meta.category == ZYDIS_CATEGORY_UNCOND_BR);
    char text[128] = {};
    // Addresses in it are offsets in the section.
    if (ZYAN_SUCCESS(
            ZydisFormatterFormatInstruction(&formatter, &instruction, operands,
                                            instruction.operand_count_visible,
                                            text, sizeof(text), at, nullptr))) {
      one.text = text;
    }
    result.push_back(std::move(one));
    at = end;
  }
  return result;
}

}  // namespace differ
}  // namespace instar

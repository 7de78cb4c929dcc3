// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/internal/frame_rule.h"

#include <cstdint>
#include <limits>

#include "base/dwarf_reader.h"
#include "base/unwind_table.h"

namespace instar {
namespace stack_internal {
namespace {

// DWARF numbers of registers on x86-64 (psABI, figure 3.36).
constexpr std::uint64_t kRbp = 6;
constexpr std::uint64_t kRsp = 7;
constexpr std::uint64_t kReturnAddress = 16;

// Call frame instructions: in the upper two bits, or the whole byte.
enum : std::uint8_t {
  kAdvanceLoc = 0x40,
  kOffset = 0x80,
  kRestore = 0xc0,
  kPrimaryMask = 0xc0,
  kNop = 0x00,
  kSetLoc = 0x01,
  kAdvanceLoc1 = 0x02,
  kAdvanceLoc2 = 0x03,
  kAdvanceLoc4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kGnuArgsSize = 0x2e,
};

enum class Saved : std::uint8_t {
  kSame,
  kUndefined,
  kAtOffset,
  kAtExpression,
  kOther,  // in another register, or a computed value
};

struct RegisterRule {
  Saved saved = Saved::kSame;
  std::int64_t offset = 0;
  std::uintptr_t program = 0;
};

struct Row {
  std::uint64_t cfa_register = kRsp;
  std::int64_t cfa_offset = 0;
  std::uintptr_t cfa_program = 0;
  RegisterRule rbp;
  RegisterRule return_address;
};

constexpr int kMaxRemembered = 8;

// Runs call frame instructions up to the row that holds a program counter.
class Interpreter {
 public:
  Interpreter(const UnwindEntry& entry, std::uintptr_t pc)
      : entry_(entry), pc_(pc), location_(entry.start) {}

  bool Run(Row* row) {
    if (!RunAll(entry_.initial_instructions, entry_.initial_instructions_end)) {
      return false;
    }
    initial_ = row_;
    if (!RunAll(entry_.instructions, entry_.instructions_end)) return false;
    *row = row_;
    return true;
  }

 private:
  bool RunAll(std::uintptr_t start, std::uintptr_t end) {
    DwarfReader reader(start, end);
    while (!reader.AtEnd() && location_ <= pc_) {
      if (!RunOne(&reader) || !reader.ok()) return false;
    }
    return true;
  }

  // A row is complete at the instruction that moves past `pc_`.
  void Advance(std::uint64_t distance) {
    location_ += distance * entry_.code_alignment;
  }

  void Set(std::uint64_t number, RegisterRule rule) {
    if (number == kRbp) row_.rbp = rule;
    if (number == kReturnAddress) row_.return_address = rule;
  }

  void Restore(std::uint64_t number) {
    if (number == kRbp) row_.rbp = initial_.rbp;
    if (number == kReturnAddress) row_.return_address = initial_.return_address;
  }

  std::int64_t Factored(std::int64_t value) const {
    return value * entry_.data_alignment;
  }

  static std::uintptr_t Program(DwarfReader* reader) {
    const std::uintptr_t program = reader->at();
    reader->Skip(reader->Uleb128());
    return program;
  }

  bool RunOne(DwarfReader* reader) {
    const std::uint8_t instruction = reader->Byte();
    const std::uint8_t operand = instruction & 0x3f;
    switch (instruction & kPrimaryMask) {
      case kAdvanceLoc:
        Advance(operand);
        return true;
      case kOffset:
        Set(operand, {Saved::kAtOffset,
                      Factored(static_cast<std::int64_t>(reader->Uleb128()))});
        return true;
      case kRestore:
        Restore(operand);
        return true;
      default:
        return RunExtended(instruction, reader);
    }
  }

  bool RunExtended(std::uint8_t instruction, DwarfReader* reader) {
    switch (instruction) {
      case kNop:
        return true;
      case kSetLoc:
        location_ = reader->Pointer(entry_.pointer_encoding);
        return true;
      case kAdvanceLoc1:
        Advance(reader->Byte());
        return true;
      case kAdvanceLoc2:
        Advance(reader->Fixed<std::uint16_t>());
        return true;
      case kAdvanceLoc4:
        Advance(reader->Fixed<std::uint32_t>());
        return true;
      case kOffsetExtended: {
        const std::uint64_t number = reader->Uleb128();
        Set(number, {Saved::kAtOffset,
                     Factored(static_cast<std::int64_t>(reader->Uleb128()))});
        return true;
      }
      case kOffsetExtendedSf: {
        const std::uint64_t number = reader->Uleb128();
        Set(number, {Saved::kAtOffset, Factored(reader->Sleb128())});
        return true;
      }
      case kRestoreExtended:
        Restore(reader->Uleb128());
        return true;
      case kUndefined:
        Set(reader->Uleb128(), {Saved::kUndefined});
        return true;
      case kSameValue:
        Set(reader->Uleb128(), {Saved::kSame});
        return true;
      case kRegister: {
        const std::uint64_t number = reader->Uleb128();
        reader->Uleb128();
        Set(number, {Saved::kOther});
        return true;
      }
      case kValOffset:
      case kValOffsetSf: {
        const std::uint64_t number = reader->Uleb128();
        reader->Uleb128();
        Set(number, {Saved::kOther});
        return true;
      }
      case kExpression: {
        const std::uint64_t number = reader->Uleb128();
        Set(number, {Saved::kAtExpression, 0, Program(reader)});
        return true;
      }
      case kValExpression: {
        const std::uint64_t number = reader->Uleb128();
        Program(reader);
        Set(number, {Saved::kOther});
        return true;
      }
      case kRememberState:
        if (depth_ == kMaxRemembered) return false;
        remembered_[depth_++] = row_;
        return true;
      case kRestoreState:
        if (depth_ == 0) return false;
        row_ = remembered_[--depth_];
        return true;
      case kDefCfa:
        row_.cfa_register = reader->Uleb128();
        row_.cfa_offset = static_cast<std::int64_t>(reader->Uleb128());
        row_.cfa_program = 0;
        return true;
      case kDefCfaSf:
        row_.cfa_register = reader->Uleb128();
        row_.cfa_offset = Factored(reader->Sleb128());
        row_.cfa_program = 0;
        return true;
      case kDefCfaRegister:
        row_.cfa_register = reader->Uleb128();
        return row_.cfa_program == 0;
      case kDefCfaOffset:
        row_.cfa_offset = static_cast<std::int64_t>(reader->Uleb128());
        return row_.cfa_program == 0;
      case kDefCfaOffsetSf:
        row_.cfa_offset = Factored(reader->Sleb128());
        return row_.cfa_program == 0;
      case kDefCfaExpression:
        row_.cfa_program = Program(reader);
        return true;
      case kGnuArgsSize:
        reader->Uleb128();
        return true;
      default:
        return false;
    }
  }

  const UnwindEntry& entry_;
  const std::uintptr_t pc_;
  std::uintptr_t location_;
  Row row_;
  Row initial_;
  Row remembered_[kMaxRemembered];
  int depth_ = 0;
};

bool IsOffset(std::int64_t value) {
  constexpr std::int64_t kLimit = 1 << 27;  // what a cached rule has room for
  return value > -kLimit && value < kLimit;
}

FrameRule Convert(const Row& row) {
  FrameRule rule;
  rule.kind = RuleKind::kUnsupported;
  if (row.return_address.saved == Saved::kUndefined) {
    rule.kind = RuleKind::kOutermost;
    return rule;
  }
  if (row.return_address.saved != Saved::kAtOffset ||
      row.return_address.offset != -8) {
    return rule;
  }
  switch (row.rbp.saved) {
    case Saved::kSame:
    case Saved::kUndefined:  // nobody below may use it, so nobody asks for it
      break;
    case Saved::kAtOffset:
      if (!IsOffset(row.rbp.offset) || row.rbp.offset % 8 != 0 ||
          row.rbp.offset == 0) {
        return rule;
      }
      rule.rbp_offset = static_cast<std::int32_t>(row.rbp.offset);
      break;
    case Saved::kAtExpression:
      rule.rbp_program = row.rbp.program;
      break;
    case Saved::kOther:
      return rule;
  }
  rule.cfa_program = row.cfa_program;
  if (!IsOffset(row.cfa_offset)) return rule;
  rule.cfa_offset = static_cast<std::int32_t>(row.cfa_offset);
  if (row.cfa_program == 0 && row.cfa_register != kRsp &&
      row.cfa_register != kRbp) {
    return rule;
  }
  if (rule.rbp_program != 0 || rule.cfa_program != 0) {
    // Both at once is what GCC writes; a program for rbp alone, nobody.
    rule.kind =
        rule.cfa_program != 0 ? RuleKind::kExpression : RuleKind::kUnsupported;
  } else {
    rule.kind =
        row.cfa_register == kRsp ? RuleKind::kFromRsp : RuleKind::kFromRbp;
  }
  return rule;
}

}  // namespace

FrameRule ComputeFrameRule(std::uintptr_t pc) {
  FrameRule rule;
  UnwindEntry entry;
  switch (FindUnwindEntry(pc, &entry)) {
    case UnwindLookup::kUnknownCode:
      rule.kind = RuleKind::kUnknownCode;
      return rule;
    case UnwindLookup::kNoEntry:
      rule.kind = RuleKind::kNoEntry;
      return rule;
    case UnwindLookup::kFound:
      break;
  }
  Row row;
  if (entry.is_signal_frame) {
    rule.kind = RuleKind::kSignalFrame;
  } else if (entry.return_address_register != kReturnAddress ||
             !Interpreter(entry, pc).Run(&row)) {
    rule.kind = RuleKind::kUnsupported;
  } else {
    rule = Convert(row);
  }
  rule.function_start = entry.start;
  return rule;
}

bool RunFrameProgram(std::uintptr_t program, const FrameRegisters& registers,
                     std::uintptr_t low, std::uintptr_t high,
                     std::uintptr_t copy_offset, std::uintptr_t* result) {
  DwarfReader length(program, DwarfReader::kNoEnd);
  const std::uint64_t size = length.Uleb128();
  DwarfReader reader(length.at(), length.at() + size);
  constexpr int kMaxDepth = 16;
  std::uintptr_t stack[kMaxDepth];
  int depth = 0;
  while (!reader.AtEnd()) {
    const std::uint8_t operation = reader.Byte();
    if (depth == kMaxDepth) return false;
    if (operation >= 0x30 && operation <= 0x4f) {  // DW_OP_lit0 to lit31
      stack[depth++] = operation - 0x30u;
    } else if (operation >= 0x70 && operation <= 0x8f) {  // DW_OP_breg0 to 31
      const std::uint64_t number = operation - 0x70u;
      const auto offset = static_cast<std::uintptr_t>(reader.Sleb128());
      if (number == kRbp) {
        stack[depth++] = registers.fp + offset;
      } else if (number == kRsp) {
        stack[depth++] = registers.sp + offset;
      } else if (number == kReturnAddress) {
        stack[depth++] = registers.pc + offset;
      } else {
        return false;
      }
    } else if (operation == 0x06) {  // DW_OP_deref
      if (depth < 1) return false;
      const std::uintptr_t address = stack[depth - 1];
      if (address % 8 != 0 || address < low || high < 8 || address > high - 8) {
        return false;
      }
      stack[depth - 1] = ReadStack(address + copy_offset);
    } else if (operation == 0x08) {  // DW_OP_const1u
      stack[depth++] = reader.Byte();
    } else if (operation == 0x23) {  // DW_OP_plus_uconst
      if (depth < 1) return false;
      stack[depth - 1] += reader.Uleb128();
    } else {
      if (depth < 2) return false;
      const std::uintptr_t right = stack[--depth];
      std::uintptr_t& left = stack[depth - 1];
      switch (operation) {
        case 0x1a:  // DW_OP_and
          left &= right;
          break;
        case 0x1c:  // DW_OP_minus
          left -= right;
          break;
        case 0x22:  // DW_OP_plus
          left += right;
          break;
        case 0x24:  // DW_OP_shl
          if (right >= 64) return false;
          left <<= right;
          break;
        case 0x2a:  // DW_OP_ge
          left = static_cast<std::intptr_t>(left) >=
                         static_cast<std::intptr_t>(right)
                     ? 1
                     : 0;
          break;
        default:
          return false;
      }
    }
    if (!reader.ok()) return false;
  }
  if (depth != 1) return false;
  *result = stack[0];
  return true;
}

}  // namespace stack_internal
}  // namespace instar

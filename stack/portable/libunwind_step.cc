// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/portable/libunwind_step.h"

#include <dlfcn.h>
#include <libunwind.h>

#include <cstdint>

#include "base/check.h"
#include "base/fork_mutex.h"
#include "base/unwind_table.h"

// Which <libunwind.h> does not declare.
extern "C" int UNW_OBJ(dwarf_search_unwind_table)(
    unw_addr_space_t space, unw_word_t pc, unw_dyn_info_t* table,
    unw_proc_info_t* info, int needs_unwind_info, void* argument);

namespace instar {
namespace stack_internal {
namespace {

#if defined(__x86_64__)
constexpr unw_regnum_t kFramePointer = UNW_X86_64_RBP;
constexpr unw_regnum_t kProgramCounter = UNW_X86_64_RIP;
constexpr unw_regnum_t kLink = -1;  // there is none
#elif defined(__aarch64__)
constexpr unw_regnum_t kFramePointer = UNW_AARCH64_X29;
// UNW_REG_IP stands for where a function returns to: x30.
constexpr unw_regnum_t kProgramCounter = UNW_AARCH64_PC;
constexpr unw_regnum_t kLink = UNW_AARCH64_X30;
#else
#error "the frame pointer of this processor is not known here"
#endif

// Whether it is known where the frame returns to that has saved that nowhere:
// that of a function which a signal has interrupted.
bool HasLink(const WalkState& state) {
  return state.is_exact && state.snapshot->is_interrupted &&
         state.snapshot->link != 0;
}

bool IsLoaded(std::uintptr_t address) {
  dl_find_object object;
  return _dl_find_object(reinterpret_cast<void*>(address), &object) == 0;
}

// Of the sorted table in .eh_frame_hdr.
struct alignas(unw_word_t) TableRow {
  std::int32_t start;
  std::int32_t description;
};
static_assert(sizeof(TableRow) == sizeof(unw_word_t));

// What libunwind is told of one frame, and what it has asked for.
struct Asked {
  const WalkState* state;
  TableRow row = {0, 0};
  bool has_no_information = false;
  bool lacks_register = false;
  bool has_left_bounds = false;
};

int AccessMemory(unw_addr_space_t, unw_word_t address, unw_word_t* value,
                 int is_write, void* argument) {
  auto* const asked = static_cast<Asked*>(argument);
  const StackSnapshot& snapshot = *asked->state->snapshot;
  if (is_write != 0) return -UNW_EREADONLYREG;
  // The row may lie on the stack of which a copy is walked.
  if (address == reinterpret_cast<std::uintptr_t>(&asked->row)) {
    __builtin_memcpy(value, &asked->row, sizeof(*value));
    return 0;
  }
  // Behind it lies the last word.
  if (snapshot.bounds.Contains(address) &&
      snapshot.bounds.high - address >= sizeof(*value)) {
    *value = ReadStack(address + snapshot.copy_offset);
    return 0;
  }
  // Unwind information.
  if (IsLoaded(address)) {
    __builtin_memcpy(value, reinterpret_cast<void*>(address), sizeof(*value));
    return 0;
  }
  asked->has_left_bounds = true;
  return -UNW_EINVAL;
}

int AccessRegister(unw_addr_space_t, unw_regnum_t number, unw_word_t* value,
                   int is_write, void* argument) {
  auto* const asked = static_cast<Asked*>(argument);
  if (is_write != 0) return -UNW_EREADONLYREG;
  const FrameRegisters& registers = asked->state->registers;
  switch (number) {
    case kProgramCounter:
      // The call is looked up, not what follows it.
      *value = registers.pc - (asked->state->is_exact ? 0 : 1);
      return 0;
    case UNW_REG_SP:
      *value = registers.sp;
      return 0;
    case kFramePointer:
      *value = registers.fp;
      return 0;
    case kLink:
      // A frame that has called another one has saved it.
      if (!HasLink(*asked->state)) break;
      *value = asked->state->snapshot->link;
      return 0;
    default:
      break;
  }
  asked->lacks_register = true;
  return -UNW_EBADREG;
}

// libunwind's own search takes the dynamic linker's lock, and on arm64 it opens
// the files of the program for what .debug_frame says, for each frame. It is
// told of a table with one row: of what has been found without either.
int FindInformation(unw_addr_space_t space, unw_word_t pc,
                    unw_proc_info_t* info, int needs_unwind_info,
                    void* argument) {
  auto* const asked = static_cast<Asked*>(argument);
  UnwindEntry entry;
  int error = -UNW_ENOINFO;
  if (FindUnwindEntry(pc, &entry) == UnwindLookup::kFound) {
    asked->row = {0,
                  static_cast<std::int32_t>(entry.description - entry.start)};
    unw_dyn_info_t table = {};
    table.start_ip = entry.start;
    table.end_ip = entry.end;
    table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
    table.u.rti.segbase = entry.start;
    table.u.rti.table_len = 1;  // words
    table.u.rti.table_data = reinterpret_cast<unw_word_t>(&asked->row);
    error = UNW_OBJ(dwarf_search_unwind_table)(space, pc, &table, info,
                                               needs_unwind_info, argument);
  }
  // libunwind goes on by guessing then.
  asked->has_no_information |= error != 0;
  return error;
}

unw_addr_space_t AddressSpace() {
  static ForkOnce<unw_addr_space_t> once;
  return once.Get([] {
    unw_accessors_t accessors = *unw_get_accessors(unw_local_addr_space);
    accessors.find_proc_info = &FindInformation;
    accessors.access_mem = &AccessMemory;
    accessors.access_reg = &AccessRegister;
    const unw_addr_space_t space = unw_create_addr_space(&accessors, 0);
    INSTAR_CHECK(space != nullptr) << "libunwind makes no address space";
    // Objects come and go, and memory of a copy changes.
    unw_set_caching_policy(space, UNW_CACHE_NONE);
    return space;
  });
}

// It allocates, which the first walk must not do: threads may be held then.
[[gnu::constructor]] void MakeAtStart() { AddressSpace(); }

}  // namespace

WalkEnd StepByLibunwind(WalkState* state) {
  Asked asked{state};
  unw_cursor_t cursor;
  if (unw_init_remote(&cursor, AddressSpace(), &asked) != 0) {
    return WalkEnd::kUnsupportedRule;
  }
  const std::uintptr_t pc = state->registers.pc - (state->is_exact ? 0 : 1);
  unw_proc_info_t info = {};
  if (unw_get_proc_info(&cursor, &info) != 0 || asked.has_no_information) {
    return AtUnknown(
        IsLoaded(pc) ? WalkEnd::kNoUnwindInformation : WalkEnd::kUnknownCode,
        *state);
  }
  if (unw_is_signal_frame(&cursor) > 0) return WalkEnd::kSignalFrame;
  const int step = unw_step(&cursor);
  if (asked.has_no_information) {
    return AtUnknown(WalkEnd::kNoUnwindInformation, *state);
  }
  if (asked.has_left_bounds) return WalkEnd::kBoundsLeft;
  if (step < 0) return WalkEnd::kUnsupportedRule;
  if (step == 0) {
    const WalkEnd end = AtBase(info.start_ip, state);
    return end == WalkEnd::kUnknownBase ? AtUnknown(end, *state) : end;
  }
  // Registers that nobody has asked for are not known, and stay so.
  asked.lacks_register = false;
  unw_word_t ip = 0;
  unw_word_t sp = 0;
  unw_word_t fp = 0;
  if (unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0 ||
      unw_get_reg(&cursor, UNW_REG_SP, &sp) != 0 ||
      unw_get_reg(&cursor, kFramePointer, &fp) != 0) {
    return asked.has_left_bounds ? WalkEnd::kBoundsLeft
                                 : WalkEnd::kUnsupportedRule;
  }
  const StackBounds& bounds = state->snapshot->bounds;
  FrameRegisters& at = state->registers;
  // A function that has saved nothing yet has no frame.
  const bool is_empty = sp == at.sp && HasLink(*state);
  if (sp <= at.sp && !is_empty) {
    return sp < bounds.low ? WalkEnd::kBoundsLeft : WalkEnd::kLoop;
  }
  if (!is_empty && !IsNextFrame(sp, at.sp, bounds)) {
    return WalkEnd::kBoundsLeft;
  }
  at = {ip, sp, fp};
  state->is_exact = false;
  return WalkEnd::kStopped;
}

}  // namespace stack_internal
}  // namespace instar

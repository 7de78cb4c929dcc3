// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/exception_table.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <unwind.h>

#include <cstdint>
#include <optional>
#include <typeinfo>

#include "base/dwarf_reader.h"
#include "base/terminate_calls.h"
#include "base/unwind_table.h"

// The routines that libstdc++ (C++) and libgcc (C with -fexceptions) interpret
// these tables with.
extern "C" {
_Unwind_Reason_Code __gxx_personality_v0(int, _Unwind_Action,
                                         _Unwind_Exception_Class,
                                         _Unwind_Exception*, _Unwind_Context*);
__attribute__((weak)) _Unwind_Reason_Code __gcc_personality_v0(
    int, _Unwind_Action, _Unwind_Exception_Class, _Unwind_Exception*,
    _Unwind_Context*);
}

namespace instar {
namespace {

// Actions of one call site form a list; a compiler writes a handful.
constexpr int kMaxActions = 1000;

class TypeTable {
 public:
  TypeTable(std::uintptr_t end, std::uint8_t encoding)
      : end_(end), encoding_(encoding) {}

  // The type with the number `index` (from 1), null for catch (...). False if
  // it cannot be read.
  bool Read(std::uint64_t index, const std::type_info** type) const {
    std::size_t size = 0;
    switch (encoding_ & kPointerFormatMask) {
      case kPointerUdata2:
      case kPointerSdata2:
        size = 2;
        break;
      case kPointerUdata4:
      case kPointerSdata4:
        size = 4;
        break;
      case kPointerAbsolute:
      case kPointerUdata8:
      case kPointerSdata8:
        size = 8;
        break;
      default:
        return false;
    }
    if (end_ == 0 || encoding_ == kPointerOmitted) return false;
    DwarfReader reader(end_ - index * size, end_);
    *type = reinterpret_cast<const std::type_info*>(reader.Pointer(encoding_));
    return reader.ok();
  }

 private:
  std::uintptr_t end_;  // entries are numbered backwards from here
  std::uint8_t encoding_;
};

void ReadActions(std::uintptr_t first, const TypeTable& types,
                 ExceptionTableEntry* entry) {
  DwarfReader reader(first, DwarfReader::kNoEnd);
  for (int i = 0; i < kMaxActions; ++i) {
    const std::int64_t filter = reader.Sleb128();
    const std::uintptr_t link = reader.at();
    const std::int64_t next = reader.Sleb128();
    if (filter == 0) {
      entry->has_cleanup = true;
    } else if (filter < 0) {
      entry->has_specification = true;
    } else {
      const std::type_info* type;
      if (!types.Read(static_cast<std::uint64_t>(filter), &type)) break;
      if (type == nullptr) {
        entry->has_catch_all = true;
      } else {
        entry->has_typed_catch = true;
        if (entry->catches == nullptr) entry->catches = type;
      }
    }
    if (next == 0) return;
    reader = DwarfReader(link + static_cast<std::uintptr_t>(next),
                         DwarfReader::kNoEnd);
  }
  entry->malformed = true;
}

// C code is left by an exception whether or not its table covers the call.
bool IsPersonalityOfC(std::uintptr_t personality) {
  if (personality == reinterpret_cast<std::uintptr_t>(&__gcc_personality_v0)) {
    return true;
  }
  // glibc has a private one.
  dl_find_object owner;
  dl_find_object libc;
  return _dl_find_object(reinterpret_cast<void*>(personality), &owner) == 0 &&
         _dl_find_object(reinterpret_cast<void*>(&gnu_get_libc_version),
                         &libc) == 0 &&
         owner.dlfo_link_map == libc.dlfo_link_map;
}

ExceptionOutcome Interpret(const ExceptionTableEntry& entry) {
  if (entry.malformed) return ExceptionOutcome::kUnknown;
  if (!entry.covered) return ExceptionOutcome::kTerminates;
  if (entry.landing_pad == 0) return ExceptionOutcome::kPasses;
  if (entry.has_specification ||
      base_internal::CanReachTerminate(entry.landing_pad)) {
    return ExceptionOutcome::kMayTerminate;
  }
  if (entry.has_catch_all) return ExceptionOutcome::kCatchAll;
  if (entry.has_typed_catch) return ExceptionOutcome::kTypedCatch;
  return ExceptionOutcome::kCleanup;
}

// What FrameThatTerminates() carries from frame to frame.
struct Search {
  std::uintptr_t base;
  int frame = -1;  // -1 is the frame of FrameThatTerminates() itself
  bool base_reached = false;
  // The latest frame, which counts once it is known to end below the base.
  std::optional<UnsafeFrame> pending;
  std::optional<UnsafeFrame> found;
};

_Unwind_Reason_Code Visit(_Unwind_Context* context, void* argument) {
  Search* search = static_cast<Search*>(argument);
  // Here the unwinder's canonical frame address is that of the frame before.
  if (search->base != 0 && _Unwind_GetCFA(context) > search->base) {
    search->base_reached = true;
    return _URC_NORMAL_STOP;
  }
  if (search->pending.has_value()) {
    search->found = search->pending;
    return _URC_NORMAL_STOP;
  }
  int is_exact = 0;
  const std::uintptr_t pc = _Unwind_GetIPInfo(context, &is_exact);
  if (pc == 0) return _URC_NO_REASON;  // past the outermost frame
  if (search->frame >= 0) {
    const ExceptionEffect effect = EffectOnException(is_exact ? pc : pc - 1);
    if (StopsException(effect.outcome)) {
      search->pending = UnsafeFrame{pc, effect, search->frame};
    }
  }
  ++search->frame;
  return _URC_NO_REASON;
}

}  // namespace

const char* ToString(ExceptionOutcome outcome) {
  switch (outcome) {
    case ExceptionOutcome::kPasses:
      return "passes";
    case ExceptionOutcome::kCleanup:
      return "runs destructors and passes";
    case ExceptionOutcome::kTypedCatch:
      return "may be caught by its type";
    case ExceptionOutcome::kCatchAll:
      return "is caught by catch (...)";
    case ExceptionOutcome::kMayTerminate:
      return "may end in std::terminate";
    case ExceptionOutcome::kTerminates:
      return "ends in std::terminate";
    case ExceptionOutcome::kUnknown:
      return "has an unknown effect";
  }
  return "?";
}

ExceptionTableEntry ReadExceptionTable(std::uintptr_t language_data,
                                       std::uintptr_t region_start,
                                       std::uintptr_t pc) {
  ExceptionTableEntry result;
  DwarfReader header(language_data, DwarfReader::kNoEnd);
  const std::uint8_t start_encoding = header.Byte();
  const std::uintptr_t landing_pad_base = start_encoding == kPointerOmitted
                                              ? region_start
                                              : header.Pointer(start_encoding);
  const std::uint8_t type_encoding = header.Byte();
  std::uintptr_t types_end = 0;
  if (type_encoding != kPointerOmitted) {
    const std::uint64_t offset = header.Uleb128();
    types_end = header.at() + offset;
  }
  const std::uint8_t site_encoding = header.Byte();
  const std::uint64_t sites_size = header.Uleb128();
  const std::uintptr_t actions = header.at() + sites_size;

  DwarfReader sites(header.at(), actions);
  while (!sites.AtEnd()) {
    const std::uintptr_t start = region_start + sites.Pointer(site_encoding);
    const std::uintptr_t length = sites.Pointer(site_encoding);
    const std::uintptr_t landing_pad = sites.Pointer(site_encoding);
    const std::uint64_t action = sites.Uleb128();
    if (!sites.ok()) break;
    if (pc < start) return result;  // sorted: no later entry holds it
    if (pc - start >= length) continue;
    result.covered = true;
    if (landing_pad == 0) return result;
    result.landing_pad = landing_pad_base + landing_pad;
    if (action == 0) {
      result.has_cleanup = true;
    } else {
      ReadActions(actions + action - 1, TypeTable(types_end, type_encoding),
                  &result);
    }
    return result;
  }
  result.malformed = !header.ok() || !sites.ok();
  return result;
}

ExceptionEffect EffectOnException(std::uintptr_t pc) {
  ExceptionEffect effect;
  UnwindEntry function;
  if (FindUnwindEntry(pc, &function) != UnwindLookup::kFound) return effect;
  effect.function_start = function.start;
  if (function.personality == 0 || function.language_data == 0) {
    effect.outcome = ExceptionOutcome::kPasses;
    return effect;
  }
  const bool is_cxx = function.personality ==
                      reinterpret_cast<std::uintptr_t>(&__gxx_personality_v0);
  if (!is_cxx && !IsPersonalityOfC(function.personality)) return effect;
  const ExceptionTableEntry entry =
      ReadExceptionTable(function.language_data, function.start, pc);
  if (is_cxx) {
    effect.outcome = Interpret(entry);
  } else if (!entry.malformed) {
    effect.outcome = entry.landing_pad != 0 ? ExceptionOutcome::kCleanup
                                            : ExceptionOutcome::kPasses;
  }
  effect.landing_pad = entry.landing_pad;
  effect.catches = entry.catches;
  return effect;
}

__attribute__((noinline)) std::optional<UnsafeFrame> FrameThatTerminates(
    const void* base_frame) {
  Search search;
  search.base = reinterpret_cast<std::uintptr_t>(base_frame);
  _Unwind_Backtrace(&Visit, &search);
  if (search.base_reached) return std::nullopt;
  if (search.found.has_value()) return search.found;
  if (search.pending.has_value()) return search.pending;
  if (search.base != 0) return UnsafeFrame{0, ExceptionEffect{}, search.frame};
  return std::nullopt;
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/terminate_calls.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstdint>
#include <cstring>
#include <exception>

#include "base/linkage_stub.h"
#include "base/unwind_table.h"

namespace instar {
namespace base_internal {
namespace {

// Reads whatever stands at `at`, which may be no object of the program:
// AddressSanitizer must not look.
template <typename T>
__attribute__((no_sanitize("address", "thread"))) T Load(std::uintptr_t at) {
  struct __attribute__((packed, may_alias)) Unaligned {
    T value;
  };
  return reinterpret_cast<const Unaligned*>(at)->value;
}

// The loaded object that the searched code belongs to.
class Image {
 public:
  explicit Image(std::uintptr_t pc) {
    dl_find_object object;
    if (_dl_find_object(reinterpret_cast<void*>(pc), &object) != 0) return;
    map_ = object.dlfo_link_map;
    if (map_->l_prev == nullptr && map_->l_name[0] == 0) {
      // The program itself: what is known of its place is that of a segment.
      segments_ = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
      segment_count_ = static_cast<int>(getauxval(AT_PHNUM));
      return;
    }
    const auto start = reinterpret_cast<std::uintptr_t>(object.dlfo_map_start);
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(start);
    if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return;
    segments_ = reinterpret_cast<const ElfW(Phdr)*>(start + header->e_phoff);
    segment_count_ = header->e_phnum;
  }

  // If not, nothing can be said of the code.
  bool known() const { return segments_ != nullptr; }

  // Whether `bytes` bytes at `address` are code of this object. Its map has
  // holes, so the range of the whole does not say that.
  bool IsCode(std::uintptr_t address, std::size_t bytes) const {
    return InSegment(address, bytes, PF_R | PF_X);
  }

  bool IsData(std::uintptr_t address) const {
    return address % sizeof(void*) == 0 &&
           InSegment(address, sizeof(void*), PF_R);
  }

  // Whether the global offset table holds the address of std::terminate at
  // `slot`.
  bool HoldsTerminate(std::uintptr_t slot) const {
    return IsData(slot) &&
           Load<std::uintptr_t>(slot) ==
               reinterpret_cast<std::uintptr_t>(&std::terminate);
  }

  // The same for a slot of a procedure linkage table, which may hold another
  // address until the first call.
  bool LeadsToTerminate(std::uintptr_t slot) const {
    return HoldsTerminate(slot) ||
           (IsData(slot) && RelocationNamesTerminate(slot));
  }

 private:
  bool InSegment(std::uintptr_t address, std::size_t bytes,
                 unsigned flags) const {
    for (int i = 0; i < segment_count_; ++i) {
      const ElfW(Phdr)& segment = segments_[i];
      if (segment.p_type != PT_LOAD || (segment.p_flags & flags) != flags) {
        continue;
      }
      const std::uintptr_t offset = address - map_->l_addr - segment.p_vaddr;
      if (offset < segment.p_memsz && segment.p_memsz - offset >= bytes) {
        return true;
      }
    }
    return false;
  }

  bool RelocationNamesTerminate(std::uintptr_t slot) const {
    const link_map* const map = map_;
    std::uintptr_t relocations = 0;
    std::size_t size = 0;
    const ElfW(Sym)* symbols = nullptr;
    const char* names = nullptr;
    for (const ElfW(Dyn)* entry = map->l_ld; entry->d_tag != DT_NULL; ++entry) {
      // ld.so has turned these into addresses.
      switch (entry->d_tag) {
        case DT_JMPREL:
          relocations = entry->d_un.d_ptr;
          break;
        case DT_PLTRELSZ:
          size = entry->d_un.d_val;
          break;
        case DT_SYMTAB:
          symbols = reinterpret_cast<const ElfW(Sym)*>(entry->d_un.d_ptr);
          break;
        case DT_STRTAB:
          names = reinterpret_cast<const char*>(entry->d_un.d_ptr);
          break;
        default:
          break;
      }
    }
    if (relocations == 0 || symbols == nullptr || names == nullptr) {
      return false;
    }
    const auto* relocation = reinterpret_cast<const ElfW(Rela)*>(relocations);
    const auto* end = relocation + size / sizeof(ElfW(Rela));
    for (; relocation != end; ++relocation) {
      if (map->l_addr + relocation->r_offset == slot) {
        const auto symbol = ELF64_R_SYM(relocation->r_info);
        const char* name = names + symbols[symbol].st_name;
        return std::strcmp(name, "_ZSt9terminatev") == 0 ||
               std::strcmp(name, "__cxa_call_terminate") == 0;
      }
    }
    return false;
  }

  const link_map* map_ = nullptr;
  const ElfW(Phdr) * segments_ = nullptr;
  int segment_count_ = 0;
};

// SlotOfLinkageStub() of code that may not be there.
std::uintptr_t SlotOfStub(const Image& image, std::uintptr_t target) {
  if (!image.IsCode(target, kLinkageStubSize)) return 0;
  return SlotOfLinkageStub(reinterpret_cast<const unsigned char*>(target),
                           target);
}

constexpr int kMaxRegions = 8;
constexpr std::uintptr_t kLargestTerminateHelper = 32;  // bytes

class Search {
 public:
  explicit Search(std::uintptr_t pc) : image_(pc) { AddRegion(pc); }

  bool Run() {
    if (!image_.known()) return true;
    for (int i = 0; i < count_; ++i) {
      if (ScanRegion(starts_[i], ends_[i])) return true;
    }
    return overflow_ || LoadsTerminate();
  }

 private:
  void AddRegion(std::uintptr_t pc) {
    UnwindEntry entry;
    if (FindUnwindEntry(pc, &entry) != UnwindLookup::kFound) return;
    // A jump to another function's start that has no exception table is a tail
    // call; parts of this function share its table.
    if (count_ != 0 && pc == entry.start && entry.language_data == 0) return;
    for (int i = 0; i < count_; ++i) {
      if (starts_[i] == entry.start) return;
    }
    if (count_ == kMaxRegions) {
      overflow_ = true;
      return;
    }
    starts_[count_] = entry.start;
    ends_[count_++] = entry.end;
  }

#if defined(__x86_64__)

  bool ScanRegion(std::uintptr_t start, std::uintptr_t end) {
    for (std::uintptr_t at = start; at + 5 <= end; ++at) {
      const auto byte = Load<unsigned char>(at);
      const std::uintptr_t target = at + 5 + Load<std::int32_t>(at + 1);
      if (byte == 0xe8 || byte == 0xe9) {  // call, jmp
        if (CallsTerminate(target, /*helpers=*/true)) return true;
        if (byte == 0xe9) FollowJump(target, start, end);
      } else if (byte >= 0x80 && byte <= 0x8f && at > start &&
                 Load<unsigned char>(at - 1) == 0x0f) {  // jcc
        FollowJump(target, start, end);
      } else if (image_.HoldsTerminate(target)) {  // call *slot, mov slot, ...
        return true;
      }
    }
    return false;
  }

  bool LoadsTerminate() const { return false; }  // ScanRegion() has looked

  // The calls in [start, end).
  template <typename Visitor>
  static void VisitCalls(std::uintptr_t start, std::uintptr_t end,
                         Visitor visit) {
    for (std::uintptr_t at = start; at + 5 <= end; ++at) {
      if (Load<unsigned char>(at) == 0xe8) {
        visit(at + 5 + Load<std::int32_t>(at + 1));
      }
    }
  }

#elif defined(__aarch64__)

  // A signed field of an instruction, `bits` wide from bit `from` on, as a
  // distance in instructions from `at`.
  static std::uintptr_t Target(std::uintptr_t at, std::uint32_t code, int from,
                               int bits) {
    const auto field =
        static_cast<std::int64_t>(std::uint64_t{code} << (64 - from - bits));
    return at + 4 * static_cast<std::uintptr_t>(field >> (64 - bits));
  }

  bool ScanRegion(std::uintptr_t start, std::uintptr_t end) {
    for (std::uintptr_t at = start; at + 4 <= end; at += 4) {
      const auto code = Load<std::uint32_t>(at);
      if ((code & 0x7c000000) == 0x14000000) {  // b, bl
        const std::uintptr_t target = Target(at, code, 0, 26);
        if (CallsTerminate(target, /*helpers=*/true)) return true;
        if ((code >> 31) == 0) FollowJump(target, start, end);
      } else if ((code & 0xff000010) == 0x54000000 ||  // b.cond
                 (code & 0x7e000000) == 0x34000000) {  // cbz, cbnz
        FollowJump(Target(at, code, 5, 19), start, end);
      } else if ((code & 0x7e000000) == 0x36000000) {  // tbz, tbnz
        FollowJump(Target(at, code, 5, 14), start, end);
      } else if ((code & 0x9f000000) == 0x90000000) {  // adrp
        const std::uint32_t field =
            (code >> 5 & 0x7ffff) << 2 | (code >> 29 & 3);
        const auto distance =
            static_cast<std::int64_t>(std::uint64_t{field} << 43) >> 31;
        AddPage((at & ~std::uintptr_t{0xfff}) +
                static_cast<std::uintptr_t>(distance));
      }
    }
    return false;
  }

  void AddPage(std::uintptr_t page) {
    for (int i = 0; i < page_count_; ++i) {
      if (pages_[i] == page) return;
    }
    if (page_count_ == kMaxPages) {
      overflow_ = true;
      return;
    }
    pages_[page_count_++] = page;
  }

  // Whether any load of a register from a constant place, of which one
  // instruction has the page and another one the rest, may load the address.
  // Which of them belong together is not asked.
  bool LoadsTerminate() const {
    for (int i = 0; i < count_; ++i) {
      for (std::uintptr_t at = starts_[i]; at + 4 <= ends_[i]; at += 4) {
        const auto code = Load<std::uint32_t>(at);
        if ((code & 0xffc00000) != 0xf9400000) continue;  // ldr x, [x, offset]
        for (int page = 0; page < page_count_; ++page) {
          if (image_.HoldsTerminate(pages_[page] + 8 * (code >> 10 & 0xfff))) {
            return true;
          }
        }
      }
    }
    return false;
  }

  template <typename Visitor>
  static void VisitCalls(std::uintptr_t start, std::uintptr_t end,
                         Visitor visit) {
    for (std::uintptr_t at = start; at + 4 <= end; at += 4) {
      const auto code = Load<std::uint32_t>(at);
      if ((code & 0xfc000000) == 0x94000000) visit(Target(at, code, 0, 26));
    }
  }

  static constexpr int kMaxPages = 64;
  std::uintptr_t pages_[kMaxPages];
  int page_count_ = 0;

#else
#error "the instructions of this processor are not known here"
#endif

  void FollowJump(std::uintptr_t target, std::uintptr_t start,
                  std::uintptr_t end) {
    if ((target < start || target >= end) && image_.IsCode(target, 12) &&
        SlotOfStub(image_, target) == 0) {
      AddRegion(target);
    }
  }

  bool CallsTerminate(std::uintptr_t target, bool helpers) const {
    if (target == reinterpret_cast<std::uintptr_t>(&std::terminate)) {
      return true;
    }
    if (!image_.IsCode(target, 12)) return false;
    const std::uintptr_t slot = SlotOfStub(image_, target);
    if (slot != 0) return image_.LeadsToTerminate(slot);
    return helpers && IsTerminateHelper(target);
  }

  // clang calls a small function of the object that calls std::terminate, for
  // which it writes no unwind information.
  bool IsTerminateHelper(std::uintptr_t target) const {
    UnwindEntry entry;
    std::uintptr_t size = kLargestTerminateHelper;
    if (FindUnwindEntry(target, &entry) == UnwindLookup::kFound) {
      if (entry.start != target || entry.end - target > size) return false;
      size = entry.end - target;
    }
    if (!image_.IsCode(target, size)) return false;
    bool found = false;
    VisitCalls(target, target + size, [&](std::uintptr_t called) {
      found = found || CallsTerminate(called, false);
    });
    return found;
  }

  Image image_;
  std::uintptr_t starts_[kMaxRegions];
  std::uintptr_t ends_[kMaxRegions];
  int count_ = 0;
  bool overflow_ = false;
};

}  // namespace

bool CanReachTerminate(std::uintptr_t landing_pad) {
  return Search(landing_pad).Run();
}

}  // namespace base_internal
}  // namespace instar

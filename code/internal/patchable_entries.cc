// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/patchable_entries.h"

#include <link.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/linux/image_pin.h"
#include "base/linux/loaded_objects.h"
#include "base/status_macros.h"
#include "code/internal/entry_record.h"
#include "code/internal/text_patch.h"

namespace instar {

using code_internal::CodeLock;
using code_internal::EntryChange;
using code_internal::kEntrySize;

namespace {

constexpr unsigned char kSingleByteNoOps[kEntrySize] = {0x90, 0x90, 0x90, 0x90,
                                                        0x90};
constexpr unsigned char kNoOp[kEntrySize] = {0x0F, 0x1F, 0x44, 0x00, 0x00};

// .eh_frame_hdr as all linkers write it: the table is sorted, of pairs of
// 4-byte offsets from the start of the section.
constexpr unsigned char kVersion = 1;
constexpr unsigned char kSigned4FromHere = 0x1B;   // DW_EH_PE_pcrel | sdata4
constexpr unsigned char kUnsigned4 = 0x03;         // DW_EH_PE_udata4
constexpr unsigned char kSigned4FromTable = 0x3B;  // DW_EH_PE_datarel | sdata4

struct EhFrameHeader {
  unsigned char version;
  unsigned char frame_encoding;
  unsigned char count_encoding;
  unsigned char table_encoding;
  int32_t frame;
  uint32_t count;
};
struct EhFrameRow {
  int32_t function;
  int32_t description;
};
static_assert(sizeof(EhFrameHeader) == 12 && sizeof(EhFrameRow) == 8);

bool Has(const unsigned char* bytes, uintptr_t entry) {
  return memcmp(reinterpret_cast<const void*>(entry), bytes, kEntrySize) == 0;
}

// Whether somebody else's int3 stands in front of the rest of either no-op. It
// is an entry, which nobody may change as long as the int3 is there.
bool HasBreakpoint(uintptr_t entry) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(entry);
  return bytes[0] == 0xCC &&
         (memcmp(bytes + 1, kNoOp + 1, kEntrySize - 1) == 0 ||
          memcmp(bytes + 1, kSingleByteNoOps + 1, kEntrySize - 1) == 0);
}

// Whether the bytes there are neither kind of no-op because we wrote others.
// Its image is kept loaded then, and so the record is of this very function.
bool IsChangedNow(const CodeLock&, uintptr_t entry) {
  const code_internal::EntryRecord* const record =
      code_internal::FindEntryRecord(entry);
  return record != nullptr && (record->layers != nullptr || record->armed > 0);
}

// Where an image has its code and its unwind table. What it refers to is read
// while the dynamic linker holds its list: afterwards another thread may unload
// the image.
struct ImageHeaders {
  std::vector<std::pair<uintptr_t, uintptr_t>> code;  // executable segments
  uintptr_t unwind_table = 0;
  size_t unwind_table_size = 0;  // in bytes
};

// Notes where the image lies.
ImageHeaders ReadHeaders(const dl_phdr_info& info, PatchableImage* image) {
  ImageHeaders headers;
  image->path = info.dlpi_name;
  image->load_base = info.dlpi_addr;
  image->begin = UINTPTR_MAX;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    const uintptr_t begin = info.dlpi_addr + segment.p_vaddr;
    const uintptr_t end = begin + segment.p_memsz;
    if (segment.p_type == PT_LOAD) {
      image->begin = std::min(image->begin, begin);
      image->end = std::max(image->end, end);
      // Read as well as executed, as compilers and linkers make it.
      if ((segment.p_flags & (PF_X | PF_R)) == (PF_X | PF_R)) {
        headers.code.emplace_back(begin, end);
      }
    } else if (segment.p_type == PT_GNU_EH_FRAME) {
      headers.unwind_table = begin;
      headers.unwind_table_size = segment.p_memsz;
    }
  }
  return headers;
}

// The function starts at which a no-op of five bytes stands, or stood; those
// where it is still five one-byte ones go to `to_rewrite`, too.
WipedVector<uintptr_t> FindEntries(const CodeLock& lock,
                                   const ImageHeaders& headers,
                                   WipedVector<uintptr_t>& to_rewrite) {
  WipedVector<uintptr_t> entries;
  if (headers.unwind_table_size < sizeof(EhFrameHeader)) return entries;
  const auto* header =
      reinterpret_cast<const EhFrameHeader*>(headers.unwind_table);
  if (header->version != kVersion ||
      header->frame_encoding != kSigned4FromHere ||
      header->count_encoding != kUnsigned4 ||
      header->table_encoding != kSigned4FromTable) {
    return entries;
  }
  const auto* rows = reinterpret_cast<const EhFrameRow*>(header + 1);
  const size_t room =
      (headers.unwind_table_size - sizeof(EhFrameHeader)) / sizeof(EhFrameRow);
  const size_t count = std::min<size_t>(header->count, room);
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t start =
        headers.unwind_table + static_cast<intptr_t>(rows[i].function);
    const bool is_code = std::any_of(
        headers.code.begin(), headers.code.end(), [start](const auto& range) {
          return range.first <= start && start + kEntrySize <= range.second;
        });
    if (!is_code) continue;
    if (Has(kSingleByteNoOps, start)) {
      to_rewrite.push_back(start);
    } else if (!Has(kNoOp, start) && !HasBreakpoint(start) &&
               !IsChangedNow(lock, start)) {
      continue;
    }
    entries.push_back(start);
  }
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  return entries;
}

absl::Status RewriteEntries(const CodeLock& lock,
                            WipedVector<uintptr_t> entries) {
  if (entries.empty()) return absl::OkStatus();
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  std::vector<EntryChange> changes;
  changes.reserve(entries.size());
  for (const uintptr_t entry : entries) {
    EntryChange& change = changes.emplace_back();
    change.record = code_internal::FindOrMakeEntryRecord(entry);
    memcpy(change.bytes, kNoOp, kEntrySize);
    change.single_byte_no_ops = true;
  }
  return code_internal::WriteEntries(lock, changes.data(), changes.size(),
                                     OtherThreads::kRunning);
}

}  // namespace

class PatchableEntriesScan {
 public:
  static absl::StatusOr<std::shared_ptr<const PatchableEntries>> Current() {
    // What has to be written is written into objects that cannot be unloaded
    // meanwhile. They are pinned without the lock, since that may wait for
    // constructors that want it; so afterwards all is looked at again.
    std::vector<Pin> pins;
    while (true) {
      {
        CodeLock lock;
        if (IsKnown()) return current();
        PatchableEntriesScan scan(lock);
        ForEachLoadedObject(&See, &scan);
        if (scan.ArePinned(pins)) return scan.Finish();
      }
      for (Pin& pin : pins) {
        if (!pin.is_wanted) continue;
        pin.pin = ImagePin(pin.name, pin.load_base);
        pin.is_wanted = false;
        ++pin.attempts;
      }
    }
  }

 private:
  struct Pin {
    std::string name;
    uintptr_t load_base = 0;
    bool is_wanted = true;
    int attempts = 0;
    ImagePin pin = {};
  };

  // An object that was unloaded between the look and the attempt may have been
  // loaded again since.
  static constexpr int kMaxAttempts = 8;
  explicit PatchableEntriesScan(const CodeLock& lock) : lock_(lock) {}

  // Under CodeLock. Never destroyed: threads may ask while the process ends.
  static std::shared_ptr<const PatchableEntries>& current() {
    static auto& current = *new std::shared_ptr<const PatchableEntries>();
    return current;
  }
  static uint64_t loads_seen;
  static uint64_t unloads_seen;
  static uint64_t images_seen;

  static bool IsKnown() {
    if (current() == nullptr) return false;
    std::pair<uint64_t, uint64_t> counts;
    ForEachLoadedObject(
        [](dl_phdr_info* info, size_t, void* result) {
          *static_cast<std::pair<uint64_t, uint64_t>*>(result) = {
              info->dlpi_adds, info->dlpi_subs};
          return 1;
        },
        &counts);
    return counts.first == loads_seen && counts.second == unloads_seen;
  }

  static int See(dl_phdr_info* info, size_t, void* scan) {
    static_cast<PatchableEntriesScan*>(scan)->See(*info);
    return 0;
  }

  void See(const dl_phdr_info& info) {
    if (entries_->listed_++ == 0) Begin(info);
    if (entries_->listed_ <= skip_) return;
    PatchableImage image;
    const ImageHeaders headers = ReadHeaders(info, &image);
    if (image.end == 0) return;
    WipedVector<uintptr_t> to_rewrite;
    image.owner = std::make_shared<const WipedVector<uintptr_t>>(
        FindEntries(lock_, headers, to_rewrite));
    image.entries = *image.owner;
    if (!to_rewrite.empty()) {
      to_rewrite_.push_back({entries_->images_.size(), std::move(to_rewrite)});
    }
    entries_->images_.push_back(std::move(image));
  }

  // While none has been unloaded, all that are known are still loaded, at the
  // beginning of the dynamic linker's list. After an unloading the program
  // alone is known to be what it was: another object may lie at the same place,
  // under the same name. All others are looked at again.
  void Begin(const dl_phdr_info& info) {
    loads_ = info.dlpi_adds;
    unloads_ = info.dlpi_subs;
    if (current() == nullptr) return;
    const std::vector<PatchableImage>& known = current()->images_;
    const bool all_remain = unloads_ == unloads_seen;
    skip_ = all_remain ? current()->listed_ : 1;
    known_ = all_remain ? known.size() : 1;
    entries_->images_.assign(known.begin(), known.begin() + known_);
  }

  // Whether all images that must be written to are; otherwise those that are
  // not become wanted. The entries of one that cannot be pinned, since the
  // dynamic linker does not find it by its name, are left alone, and are none.
  bool ArePinned(std::vector<Pin>& pins) {
    bool all = true;
    for (auto& [number, places] : to_rewrite_) {
      PatchableImage& image = entries_->images_[number];
      if (image.path.empty()) continue;
      auto pin = std::find_if(pins.begin(), pins.end(), [&](const Pin& pin) {
        return pin.name == image.path && pin.load_base == image.load_base;
      });
      if (pin == pins.end()) {
        pin = pins.insert(pins.end(), Pin{image.path, image.load_base});
        all = false;
      } else if (pin->pin.ok()) {
        continue;
      } else if (pin->attempts < kMaxAttempts) {
        pin->is_wanted = true;
        all = false;
      } else {
        Leave(image, places);
      }
    }
    return all;
  }

  static void Leave(PatchableImage& image, WipedVector<uintptr_t>& places) {
    std::sort(places.begin(), places.end());
    WipedVector<uintptr_t> others;
    std::set_difference(image.entries.begin(), image.entries.end(),
                        places.begin(), places.end(),
                        std::back_inserter(others));
    image.owner =
        std::make_shared<const WipedVector<uintptr_t>>(std::move(others));
    image.entries = *image.owner;
    places.clear();
  }

  absl::StatusOr<std::shared_ptr<const PatchableEntries>> Finish() {
    WipedVector<uintptr_t> places;
    for (const auto& [number, in_image] : to_rewrite_) {
      places.insert(places.end(), in_image.begin(), in_image.end());
    }
    INSTAR_RETURN_IF_ERROR(RewriteEntries(lock_, std::move(places)));
    for (size_t i = known_; i < entries_->images_.size(); ++i) {
      entries_->images_[i].number = ++images_seen;
    }
    current() = entries_;
    loads_seen = loads_;
    unloads_seen = unloads_;
    return current();
  }

  const CodeLock& lock_;
  size_t skip_ = 0;   // how many of the linker's list are known
  size_t known_ = 0;  // how many of entries_->images_ are those
  uint64_t loads_ = 0;
  uint64_t unloads_ = 0;
  std::shared_ptr<PatchableEntries> entries_ =
      std::make_shared<PatchableEntries>();
  // By number of the image.
  std::vector<std::pair<size_t, WipedVector<uintptr_t>>> to_rewrite_;
};

uint64_t PatchableEntriesScan::loads_seen = 0;
uint64_t PatchableEntriesScan::unloads_seen = 0;
uint64_t PatchableEntriesScan::images_seen = 0;

absl::StatusOr<std::shared_ptr<const PatchableEntries>>
PatchableEntries::Current() {
  return PatchableEntriesScan::Current();
}

const PatchableImage* PatchableEntries::ImageAt(uintptr_t address) const {
  for (const PatchableImage& image : images_) {
    if (image.begin <= address && address < image.end) return &image;
  }
  return nullptr;
}

bool PatchableEntries::Contains(uintptr_t entry) const {
  const PatchableImage* const image = ImageAt(entry);
  return image != nullptr && std::binary_search(image->entries.begin(),
                                                image->entries.end(), entry);
}

size_t PatchableEntries::size() const {
  size_t size = 0;
  for (const PatchableImage& image : images_) size += image.entries.size();
  return size;
}

namespace {

// Before main(), when the program usually has one thread. An error comes again
// from the first Current(), which somebody checks.
__attribute__((constructor(101))) void RewriteBeforeMain() {
  (void)PatchableEntries::Current().status();
}

}  // namespace
}  // namespace instar

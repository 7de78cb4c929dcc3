// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/patchable_entries.h"

#include <link.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/status_macros.h"
#include "code/entry_record.h"
#include "code/text_patch.h"

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

// Whether the bytes there are neither kind of no-op because we wrote others.
// Its image is kept loaded then, and so the record is of this very function.
bool IsChangedNow(const CodeLock&, uintptr_t entry) {
  const code_internal::EntryRecord* const record =
      code_internal::FindEntryRecord(entry);
  return record != nullptr && (record->layers != nullptr || record->armed > 0);
}

// Where an image lies, and its unwind table.
struct ImageHeaders {
  PatchableImage image;
  std::vector<std::pair<uintptr_t, uintptr_t>> code;  // executable segments
  uintptr_t unwind_table = 0;
  size_t unwind_table_size = 0;  // in bytes
};

struct Scan {
  size_t skip = 0;                   // how many are known, from the first on
  size_t listed = 0;                 // how many there are
  std::vector<ImageHeaders> images;  // those that were not skipped
};

int ReadHeaders(dl_phdr_info* info, size_t, void* result) {
  Scan& scan = *static_cast<Scan*>(result);
  if (scan.listed++ < scan.skip) return 0;
  ImageHeaders headers;
  headers.image.path = info->dlpi_name;
  headers.image.load_base = info->dlpi_addr;
  headers.image.begin = UINTPTR_MAX;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    const uintptr_t end = begin + segment.p_memsz;
    if (segment.p_type == PT_LOAD) {
      headers.image.begin = std::min(headers.image.begin, begin);
      headers.image.end = std::max(headers.image.end, end);
      // Read as well as executed, as compilers and linkers make it.
      if ((segment.p_flags & (PF_X | PF_R)) == (PF_X | PF_R)) {
        headers.code.emplace_back(begin, end);
      }
    } else if (segment.p_type == PT_GNU_EH_FRAME) {
      headers.unwind_table = begin;
      headers.unwind_table_size = segment.p_memsz;
    }
  }
  if (headers.image.end != 0) scan.images.push_back(std::move(headers));
  return 0;
}

// The function starts at which a no-op of five bytes stands, or stood; those
// where it is still five one-byte ones go to `to_rewrite`, too.
std::vector<uintptr_t> FindEntries(const CodeLock& lock,
                                   const ImageHeaders& headers,
                                   std::vector<uintptr_t>& to_rewrite) {
  std::vector<uintptr_t> entries;
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
    } else if (!Has(kNoOp, start) && !IsChangedNow(lock, start)) {
      continue;
    }
    entries.push_back(start);
  }
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  return entries;
}

absl::Status RewriteEntries(const CodeLock& lock,
                            std::vector<uintptr_t> entries) {
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
    // Never destroyed: threads may ask while the process ends.
    static auto& current = *new std::shared_ptr<const PatchableEntries>();
    static uint64_t loads_seen = 0, unloads_seen = 0, images_seen = 0;

    CodeLock lock;
    std::pair<uint64_t, uint64_t> loads;
    dl_iterate_phdr(&ReadLoads, &loads);
    if (current != nullptr && loads.first == loads_seen &&
        loads.second == unloads_seen) {
      return current;
    }
    // While none has been unloaded, all that are known are still loaded, at the
    // beginning of the dynamic linker's list. After an unloading the program
    // alone is known to be what it was: another object may lie at the same
    // place, under the same name. All others are looked at again.
    Scan scan;
    auto entries = std::make_shared<PatchableEntries>();
    if (current != nullptr) {
      const bool all_remain = loads.second == unloads_seen;
      scan.skip = all_remain ? current->listed_ : 1;
      entries->images_.assign(
          current->images_.begin(),
          all_remain ? current->images_.end() : current->images_.begin() + 1);
    }
    dl_iterate_phdr(&ReadHeaders, &scan);
    entries->listed_ = scan.listed;
    std::vector<uintptr_t> to_rewrite;
    for (ImageHeaders& headers : scan.images) {
      PatchableImage& image = headers.image;
      image.number = ++images_seen;
      image.owner = std::make_shared<const std::vector<uintptr_t>>(
          FindEntries(lock, headers, to_rewrite));
      image.entries = *image.owner;
      entries->images_.push_back(std::move(image));
    }
    INSTAR_RETURN_IF_ERROR(RewriteEntries(lock, std::move(to_rewrite)));
    current = std::move(entries);
    loads_seen = loads.first;
    unloads_seen = loads.second;
    return current;
  }

 private:
  static int ReadLoads(dl_phdr_info* info, size_t, void* result) {
    *static_cast<std::pair<uint64_t, uint64_t>*>(result) = {info->dlpi_adds,
                                                            info->dlpi_subs};
    return 1;
  }
};

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

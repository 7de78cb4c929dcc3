// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/image_list.h"

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"
#include "base/linux/loaded_objects.h"
#include "manager/module/elf_image.h"

namespace instar {
namespace manager_internal {
namespace {

// What an address in the dynamic section means: the dynamic linker has added
// the base to it, but in objects that it may not write.
std::uintptr_t Relocated(const dl_phdr_info& info, std::uintptr_t address) {
  return address < info.dlpi_addr ? info.dlpi_addr + address : address;
}

// Whether [address, address + size) lies in a segment.
bool IsLoaded(const dl_phdr_info& info, std::uintptr_t address,
              std::size_t size) {
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    const std::uintptr_t begin = info.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && address >= begin &&
        size <= segment.p_memsz && address - begin <= segment.p_memsz - size) {
      return true;
    }
  }
  return false;
}

std::string SonameOf(const dl_phdr_info& info, const ElfW(Dyn) * entries) {
  std::uintptr_t strings = 0;
  std::size_t size = 0;
  std::size_t soname = 0;
  for (; entries->d_tag != DT_NULL; ++entries) {
    if (entries->d_tag == DT_STRTAB) {
      strings = Relocated(info, entries->d_un.d_ptr);
    }
    if (entries->d_tag == DT_STRSZ) size = entries->d_un.d_val;
    if (entries->d_tag == DT_SONAME) soname = entries->d_un.d_val;
  }
  if (soname == 0 || soname >= size || !IsLoaded(info, strings, size)) {
    return "";
  }
  const char* const text = reinterpret_cast<const char*>(strings + soname);
  return std::string(text, strnlen(text, size - soname));
}

int Add(dl_phdr_info* info, std::size_t, void* images) {
  ImageReport& image =
      static_cast<std::vector<ImageReport>*>(images)->emplace_back();
  image.path = info->dlpi_name;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_DYNAMIC) {
      image.soname = SonameOf(*info, reinterpret_cast<const ElfW(Dyn)*>(begin));
    }
    if (segment.p_type != PT_NOTE || segment.p_align > 4) continue;
    ForEachNoteIn({reinterpret_cast<const char*>(begin), segment.p_memsz},
                  [&](absl::string_view owner, std::uint32_t type,
                      absl::string_view descriptor) {
                    if (owner == "GNU" && type == NT_GNU_BUILD_ID) {
                      image.build_id = HexDigits(descriptor);
                    }
                  });
  }
  return 0;
}

}  // namespace

std::vector<ImageReport> ListImages() {
  std::vector<ImageReport> images;
  ForEachLoadedObject(&Add, &images);
  return images;
}

}  // namespace manager_internal
}  // namespace instar

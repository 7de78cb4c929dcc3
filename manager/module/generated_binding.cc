// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/generated_binding.h"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/linux/loaded_objects.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace manager_internal {
namespace {

using generated_module::Import;
using generated_module::ImportKind;
using generated_module::Redefinition;

struct Search {
  absl::string_view build_id;
  std::optional<BoundImage> found;
};

int See(dl_phdr_info* info, std::size_t, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  BoundImage image = {info->dlpi_name,
                      info->dlpi_addr,
                      info->dlpi_addr,
                      {std::numeric_limits<std::uintptr_t>::max(), 0}};
  bool is_it = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      image.range.begin = std::min(image.range.begin, begin);
      image.range.end = std::max(image.range.end, begin + segment.p_memsz);
    }
    if (segment.p_type != PT_NOTE || segment.p_align > 4) continue;
    ForEachNoteIn({reinterpret_cast<const char*>(begin), segment.p_memsz},
                  [&](absl::string_view owner, std::uint32_t type,
                      absl::string_view descriptor) {
                    is_it |= owner == "GNU" && type == NT_GNU_BUILD_ID &&
                             HexDigits(descriptor) == search.build_id;
                  });
  }
  if (!is_it) return 0;
  search.found = std::move(image);
  return 1;
}

bool IsIn(const BoundImage& image, std::uint64_t address) {
  const std::uintptr_t at = image.base + address;
  return image.range.begin <= at && at <= image.range.end;
}

absl::Status Outside(absl::string_view name, std::uint64_t address,
                     const GeneratedTables::Image& image) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s is to lie at %#x of %s, which is outside of it; make the module "
      "again with instar-diff",
      code_internal::Demangle(std::string(name)), address, image.name));
}

template <typename T>
void WriteTo(std::string& bytes, std::size_t offset, T value) {
  std::memcpy(&bytes[offset], &value, sizeof(value));
}

}  // namespace

std::optional<BoundImage> FindByBuildId(absl::string_view build_id) {
  Search search{build_id, std::nullopt};
  ForEachLoadedObject(&See, &search);
  return std::move(search.found);
}

absl::Status CheckTargets(const GeneratedTables& tables,
                          absl::Span<const BoundImage> images) {
  for (const Import& import : tables.imports()) {
    if (IsIn(images[import.image], import.target)) continue;
    return Outside(tables.NameAt(import.name), import.target,
                   tables.images()[import.image]);
  }
  for (const Redefinition& redefinition : tables.redefinitions()) {
    if (IsIn(images[redefinition.image], redefinition.old_entry)) continue;
    return Outside(tables.NameAt(redefinition.name), redefinition.old_entry,
                   tables.images()[redefinition.image]);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> BindImports(const ElfImage& image,
                                        const GeneratedTables& tables,
                                        absl::Span<const BoundImage> images,
                                        std::uintptr_t base) {
  std::string bytes = image.bytes();
  for (const Import& import : tables.imports()) {
    const std::optional<std::size_t> field = tables.FieldOf(import);
    if (!field.has_value()) continue;
    const std::uint64_t target = images[import.image].base + import.target +
                                 static_cast<std::uint64_t>(import.addend);
    switch (import.kind) {
      case ImportKind::kAbsolute64:
        WriteTo(bytes, *field, target);
        break;
      case ImportKind::kDebugAddress:
        WriteTo(bytes, *field, target - base);
        break;
      case ImportKind::kRelative32: {
        const auto distance =
            static_cast<std::int64_t>(target - (base + import.place));
        const auto value = static_cast<std::int32_t>(distance);
        if (value != distance) {
          return absl::FailedPreconditionError(absl::StrCat(
              code_internal::Demangle(std::string(tables.NameAt(import.name))),
              " cannot be reached from where the module is to lie; make the "
              "module again with instar-diff"));
        }
        WriteTo(bytes, *field, value);
        break;
      }
    }
  }
  return bytes;
}

}  // namespace manager_internal
}  // namespace instar

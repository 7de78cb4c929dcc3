// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/generated_binding.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/linker_gate.h"
#include "base/linux/loaded_objects.h"
#include "base/linux/maps.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace manager_internal {
namespace {

using generated_module::Import;
using generated_module::ImportKind;
using generated_module::Redefinition;

struct Search {
  absl::string_view build_id;
  std::vector<BoundImage> found;
  std::vector<AddressRange> all;  // of every object
};

int See(dl_phdr_info* info, std::size_t, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  BoundImage image = {info->dlpi_name,
                      info->dlpi_addr,
                      info->dlpi_addr,
                      {std::numeric_limits<std::uintptr_t>::max(), 0},
                      {}};
  bool is_it = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      const std::uintptr_t end = begin + segment.p_memsz;
      image.range.begin = std::min(image.range.begin, begin);
      image.range.end = std::max(image.range.end, end);
      if ((segment.p_flags & PF_R) != 0) image.readable.push_back({begin, end});
    }
    if (segment.p_type != PT_NOTE || segment.p_align > 4) continue;
    ForEachNoteIn({reinterpret_cast<const char*>(begin), segment.p_memsz},
                  [&](absl::string_view owner, std::uint32_t type,
                      absl::string_view descriptor) {
                    is_it |= owner == "GNU" && type == NT_GNU_BUILD_ID &&
                             HexDigits(descriptor) == search.build_id;
                  });
  }
  search.all.push_back(image.range);
  if (is_it) search.found.push_back(std::move(image));
  return 0;
}

// Code of a file of the image's name, or of the same file, that no object which
// the dynamic linker lists has: what has been loaded into another namespace is
// in another list. Empty: none.
std::string FindInOtherNamespace(const Search& search, absl::string_view name) {
  struct Mapped {
    std::string path;
    std::uint64_t inode;
    unsigned major, minor;
    bool is_listed;
  };
  std::vector<Mapped> mapped;
  VisitMappedCode([&](const Mapping& mapping) {
    const bool is_listed = std::any_of(
        search.all.begin(), search.all.end(), [&](const AddressRange& range) {
          return mapping.low < range.end && range.begin < mapping.high;
        });
    mapped.push_back({std::string(mapping.path), mapping.inode,
                      mapping.device_major, mapping.device_minor, is_listed});
    return true;
  });
  const auto is_found = [&](const Mapped& one) {
    const absl::string_view file = absl::StripSuffix(one.path, " (deleted)");
    if (file.substr(file.rfind('/') + 1) == name) return true;
    for (const BoundImage& image : search.found) {
      for (const Mapped& other : mapped) {
        if (other.is_listed && other.inode == one.inode &&
            other.major == one.major && other.minor == one.minor &&
            absl::StripSuffix(other.path, " (deleted)") == image.name) {
          return true;
        }
      }
    }
    return false;
  };
  for (const Mapped& one : mapped) {
    if (!one.is_listed && is_found(one)) return one.path;
  }
  return "";
}

// Where calls and references by this name lead; null: nowhere.
std::uintptr_t LookUp(absl::string_view name) {
  const LinkerGate gate;
  return reinterpret_cast<std::uintptr_t>(
      dlsym(RTLD_DEFAULT, std::string(name).c_str()));
}

std::string NameOfObjectAt(std::uintptr_t address) {
  const LinkerGate gate;
  Dl_info info = {};
  if (dladdr(reinterpret_cast<void*>(address), &info) == 0 ||
      info.dli_fname == nullptr || *info.dli_fname == '\0') {
    return "the program";
  }
  return info.dli_fname;
}

// Of a name that the target exports.
absl::Status CheckPreemption(const GeneratedTables& tables,
                             const Import& import, const BoundImage& target,
                             std::vector<std::string>& remarks) {
  const absl::string_view name = tables.NameAt(import.name);
  const std::uintptr_t found = LookUp(name);
  if (found == 0 || found == target.base + import.target) {
    return absl::OkStatus();
  }
  const std::string what =
      absl::StrCat(code_internal::Demangle(std::string(name)), " of ",
                   tables.images()[0].name, " is preempted by that of ",
                   NameOfObjectAt(found));
  if (import.kind == ImportKind::kMayBeOther) {
    remarks.push_back(absl::StrCat(
        what, ", which calls by name reach: that one stays as it is"));
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "it uses the shared object's own, and ", what,
      "; let the old version refer to it, too, so that its own reference says "
      "where it leads"));
}

bool IsIn(const BoundImage& image, std::uint64_t address) {
  const std::uintptr_t at = image.base + address;
  return image.range.begin <= at && at <= image.range.end;
}

// The eight bytes there.
bool IsReadable(const BoundImage& image, std::uint64_t address) {
  const std::uintptr_t at = image.base + address;
  return std::any_of(image.readable.begin(), image.readable.end(),
                     [at](const AddressRange& range) {
                       return range.begin <= at && at <= range.end &&
                              range.end - at >= sizeof(std::uint64_t);
                     });
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

absl::StatusOr<std::optional<BoundImage>> FindLoaded(
    const GeneratedTables::Image& image) {
  Search search{image.build_id, {}, {}};
  ForEachLoadedObject(&See, &search);
  if (search.found.size() > 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        image.name, " is loaded twice, as ", search.found[0].name, " and as ",
        search.found[1].name, ", and an update would change one of them"));
  }
  // Of the program there is one.
  if (!search.found.empty() && search.found[0].name.empty()) {
    return std::optional<BoundImage>(std::move(search.found[0]));
  }
  const std::string other = FindInOtherNamespace(search, image.name);
  if (!other.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(other,
                     " is loaded in a namespace of its own (dlmopen), where it "
                     "cannot be changed"));
  }
  if (search.found.empty()) return std::optional<BoundImage>();
  return std::optional<BoundImage>(std::move(search.found[0]));
}

absl::Status CheckTargets(const GeneratedTables& tables,
                          absl::Span<const BoundImage> images,
                          std::vector<std::string>& remarks) {
  for (const Import& import : tables.imports()) {
    const BoundImage& image = images[import.image];
    if (!IsIn(image, import.target) ||
        (import.kind == ImportKind::kContents64 &&
         !IsReadable(image, import.target))) {
      return Outside(tables.NameAt(import.name), import.target,
                     tables.images()[import.image]);
    }
    if (import.kind == ImportKind::kIsOwn ||
        import.kind == ImportKind::kMayBeOther) {
      INSTAR_RETURN_IF_ERROR(CheckPreemption(tables, import, image, remarks));
    }
  }
  for (const Redefinition& redefinition : tables.redefinitions()) {
    if (redefinition.image == generated_module::kThisModule ||
        IsIn(images[redefinition.image], redefinition.old_entry)) {
      continue;
    }
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
    const std::uintptr_t at = images[import.image].base + import.target;
    const std::uint64_t target = images[import.image].base + import.target +
                                 static_cast<std::uint64_t>(import.addend);
    switch (import.kind) {
      case ImportKind::kAbsolute64:
        WriteTo(bytes, *field, target);
        break;
      case ImportKind::kDebugAddress:
        WriteTo(bytes, *field, target - base);
        break;
      case ImportKind::kContents64: {
        std::uint64_t contents;
        std::memcpy(&contents, reinterpret_cast<const void*>(at),
                    sizeof(contents));
        WriteTo(bytes, *field,
                contents + static_cast<std::uint64_t>(import.addend));
        break;
      }
      case ImportKind::kIsOwn:
      case ImportKind::kMayBeOther:
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

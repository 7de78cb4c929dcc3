// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/generated_tables.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "manager/module/moved_image.h"

namespace instar {
namespace manager_internal {
namespace {

using generated_module::ImageRecord;
using generated_module::Import;
using generated_module::ImportKind;
using generated_module::Redefinition;

constexpr std::size_t kMaxImages = 1024;
constexpr std::size_t kMaxBuildId = 128;  // digits
constexpr std::uint32_t kAllFlags =
    generated_module::kMustBeQuiescent | generated_module::kOnlyWatched;

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("is damaged (", what, "); make it again with instar-diff"));
}

// In bytes, of a field that is loaded.
std::uint64_t SizeOf(ImportKind kind) {
  return kind == ImportKind::kRelative32 ? 4 : 8;
}

}  // namespace

absl::StatusOr<GeneratedTables> GeneratedTables::Read(const ElfImage& image) {
  GeneratedTables tables(image);
  const auto names = image.FindSection(generated_module::kNamesSection);
  if (!names.has_value()) return Damaged("it has no .instar.names");
  tables.names_ = image.Contents(*names);
  if (!tables.names_.empty() && tables.names_.back() != '\0') {
    return Damaged("its names have no end");
  }
  tables.debug_info_ = image.FindSection(".debug_info");
  INSTAR_RETURN_IF_ERROR(tables.ReadImages());
  INSTAR_RETURN_IF_ERROR(
      tables.ReadTable(generated_module::kImportsSection, tables.imports_));
  INSTAR_RETURN_IF_ERROR(tables.ReadTable(
      generated_module::kRedefinitionsSection, tables.redefinitions_));
  if (tables.redefinitions_.empty() &&
      image.DefinedWithPrefix(generated_module::kHookPrefix).empty()) {
    return absl::InvalidArgumentError(
        "redefines nothing and has no hook, as if the linker had dropped its "
        "tables; link it without --gc-sections");
  }
  INSTAR_RETURN_IF_ERROR(tables.CheckImports());
  INSTAR_RETURN_IF_ERROR(tables.CheckRedefinitions());
  return tables;
}

absl::string_view GeneratedTables::NameAt(std::uint64_t offset) const {
  const absl::string_view rest = names_.substr(offset);
  return rest.substr(0, rest.find('\0'));
}

std::optional<std::size_t> GeneratedTables::FieldOf(
    const Import& import) const {
  if (import.kind == ImportKind::kIsOwn ||
      import.kind == ImportKind::kMayBeOther) {
    return std::nullopt;
  }
  if (import.kind != ImportKind::kDebugAddress) {
    return image_->OffsetOf(import.place, SizeOf(import.kind));
  }
  if (!debug_info_.has_value()) return std::nullopt;
  return debug_info_->offset + import.place;
}

template <typename Row>
absl::Status GeneratedTables::ReadTable(const char* section,
                                        std::vector<Row>& rows) const {
  const auto found = image_->FindSection(section);
  if (!found.has_value()) return absl::OkStatus();
  if (found->size % sizeof(Row) != 0) {
    return Damaged(absl::StrCat("the size of ", section));
  }
  rows.resize(found->size / sizeof(Row));
  const absl::string_view bytes = image_->Contents(*found);
  if (!rows.empty()) std::memcpy(rows.data(), bytes.data(), bytes.size());
  return absl::OkStatus();
}

// Names go into messages: text without control characters.
bool GeneratedTables::IsName(std::uint64_t offset) const {
  if (offset >= names_.size()) return false;
  const absl::string_view name = NameAt(offset);
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != 0x7f;
  });
}

absl::Status GeneratedTables::ReadImages() {
  std::vector<ImageRecord> records;
  INSTAR_RETURN_IF_ERROR(ReadTable(generated_module::kImagesSection, records));
  if (records.empty() || records.size() > kMaxImages) {
    // With --gc-sections the linker of binutils drops the tables.
    return Damaged("it says not what it was made for, in .instar.images");
  }
  for (const ImageRecord& record : records) {
    if (!IsName(record.name) || !IsName(record.build_id)) {
      return Damaged("a name in .instar.images");
    }
    const Image image = {NameAt(record.name), NameAt(record.build_id)};
    if (image.build_id.size() % 2 != 0 || image.build_id.size() > kMaxBuildId ||
        image.build_id.find_first_not_of("0123456789abcdef") !=
            absl::string_view::npos) {
      return Damaged("a build id in .instar.images");
    }
    images_.push_back(image);
  }
  return absl::OkStatus();
}

absl::Status GeneratedTables::CheckImports() const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> written;
  std::vector<std::uint64_t> in_debug_info;
  for (const Import& import : imports_) {
    if (!IsName(import.name)) return Damaged("a name in .instar.imports");
    const auto damaged = [&](absl::string_view what) {
      return Damaged(
          absl::StrCat("the import of ", NameAt(import.name), ": ", what));
    };
    if (import.image >= images_.size()) return damaged("its image");
    if (import.target > kMaxMoved) return damaged("its target");
    switch (import.kind) {
      case ImportKind::kDebugAddress:
        // Without debug information, nobody needs these.
        if (debug_info_.has_value() &&
            (import.place > debug_info_->size ||
             debug_info_->size - import.place < sizeof(std::uint64_t))) {
          return damaged("its place lies behind .debug_info");
        }
        in_debug_info.push_back(import.place);
        break;
      case ImportKind::kIsOwn:
      case ImportKind::kMayBeOther:
        if (import.place != 0 || import.addend != 0 || import.image != 0) {
          return damaged("its place");
        }
        break;
      case ImportKind::kContents64:
        if (import.image != 0) return damaged("its image");
        [[fallthrough]];
      case ImportKind::kAbsolute64:
      case ImportKind::kRelative32: {
        const std::uint64_t size = SizeOf(import.kind);
        if (!image_->OffsetOf(import.place, size).has_value()) {
          return damaged("its place is not loaded from the file");
        }
        written.push_back({import.place, import.place + size});
        break;
      }
      default:
        return damaged("its kind is unknown");
    }
  }
  std::sort(in_debug_info.begin(), in_debug_info.end());
  for (std::size_t i = 1; i < in_debug_info.size(); ++i) {
    if (in_debug_info[i] - in_debug_info[i - 1] < sizeof(std::uint64_t)) {
      return Damaged("two imports have one place in .debug_info");
    }
  }
  std::sort(written.begin(), written.end());
  for (std::size_t i = 1; i < written.size(); ++i) {
    if (written[i].first < written[i - 1].second) {
      return Damaged("two imports have one place");
    }
  }
  // What the dynamic linker reads, and what it writes.
  for (const ElfImage::Range& range : RangesOfDynamicLinker(*image_)) {
    const auto after =
        std::upper_bound(written.begin(), written.end(), range.address,
                         [](std::uint64_t address, const auto& field) {
                           return address < field.second;
                         });
    if (after != written.end() && after->first < range.address + range.size) {
      return Damaged("an import lies in what is the dynamic linker's");
    }
  }
  return absl::OkStatus();
}

absl::Status GeneratedTables::CheckRedefinitions() const {
  std::vector<std::pair<std::uint32_t, std::uint64_t>> redefined;
  for (const Redefinition& redefinition : redefinitions_) {
    if (!IsName(redefinition.name)) {
      return Damaged("a name in .instar.redefine");
    }
    const auto damaged = [&](absl::string_view what) {
      return Damaged(absl::StrCat("the redefinition of ",
                                  NameAt(redefinition.name), ": ", what));
    };
    if ((redefinition.flags & ~kAllFlags) != 0) return damaged("its flags");
    const bool is_watched =
        (redefinition.flags & generated_module::kOnlyWatched) != 0;
    if (is_watched && redefinition.new_entry != 0) {
      return damaged("its new entry");
    }
    if (is_watched && redefinition.image == generated_module::kThisModule) {
      if (image_->OffsetOfCode(redefinition.old_entry, 1).has_value()) continue;
      return damaged("its old entry is no code of the module");
    }
    if (redefinition.image >= images_.size()) return damaged("its image");
    if (redefinition.old_entry > kMaxMoved) return damaged("its old entry");
    if (is_watched) continue;
    if (!image_->OffsetOfCode(redefinition.new_entry, 1).has_value()) {
      return damaged("its new entry is no code of the module");
    }
    redefined.emplace_back(redefinition.image, redefinition.old_entry);
  }
  std::sort(redefined.begin(), redefined.end());
  if (std::adjacent_find(redefined.begin(), redefined.end()) !=
      redefined.end()) {
    return Damaged("a function is redefined twice");
  }
  return absl::OkStatus();
}

}  // namespace manager_internal
}  // namespace instar

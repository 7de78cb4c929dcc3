// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of a generated module (manager/module/generated_module.h), read
// and checked: what is accepted refers to the file's own bytes only, and no two
// imports write the same ones, nor what the dynamic linker reads or writes.
// What lies in the images is checked when the module is loaded.
//
//   INSTAR_ASSIGN_OR_RETURN(const GeneratedTables tables,
//                           GeneratedTables::Read(image));
//
// Threads: immutable. Views point into the image, which must be that of a whole
// file, and outlives them.
// Errors: InvalidArgument, a phrase that goes on after "it ".

#ifndef INSTAR_MANAGER_MODULE_GENERATED_TABLES_H_
#define INSTAR_MANAGER_MODULE_GENERATED_TABLES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/module/elf_image.h"
#include "manager/module/generated_module.h"

namespace instar {
namespace manager_internal {

class GeneratedTables {
 public:
  struct Image {
    absl::string_view name;
    absl::string_view build_id;  // hexadecimal digits
  };

  static absl::StatusOr<GeneratedTables> Read(const ElfImage& image);

  const std::vector<Image>& images() const { return images_; }  // not empty
  const std::vector<generated_module::Import>& imports() const {
    return imports_;
  }
  const std::vector<generated_module::Redefinition>& redefinitions() const {
    return redefinitions_;
  }
  // Of an import or a redefinition.
  absl::string_view NameAt(std::uint64_t offset) const;

  // Where an import's field stands in the image's bytes; nothing for one
  // without, and for one of debug information that was stripped.
  std::optional<std::size_t> FieldOf(const generated_module::Import&) const;

 private:
  explicit GeneratedTables(const ElfImage& image) : image_(&image) {}

  template <typename Row>
  absl::Status ReadTable(const char* section, std::vector<Row>& rows) const;
  absl::Status ReadImages();
  absl::Status CheckImports() const;
  absl::Status CheckRedefinitions() const;
  bool IsName(std::uint64_t offset) const;

  const ElfImage* image_;
  absl::string_view names_;
  std::optional<ElfImage::Section> debug_info_;
  std::vector<Image> images_;
  std::vector<generated_module::Import> imports_;
  std::vector<generated_module::Redefinition> redefinitions_;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_GENERATED_TABLES_H_

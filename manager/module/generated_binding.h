// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Binds the imports of a generated module to the images of this process.
// Internal to this package.
//
// Nothing is looked up by name: an image is known by its build id, and what is
// in it by its address there, which was found when the module was made.
//
// Threads: any.

#ifndef INSTAR_MANAGER_MODULE_GENERATED_BINDING_H_
#define INSTAR_MANAGER_MODULE_GENERATED_BINDING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "manager/module/elf_image.h"
#include "manager/module/generated_tables.h"
#include "manager/module/near_place.h"

namespace instar {
namespace manager_internal {

// What an image of the tables is in this process.
struct BoundImage {
  std::string name;            // as the dynamic linker knows it
  std::uintptr_t linker_base;  // what that has added to its addresses
  std::uintptr_t base;         // what is to be added to those of its file
  AddressRange range;          // from its first segment to its last
};

// The program or shared object of this build id that is loaded; of several, the
// one that was loaded first. Copies of modules are not among them: they have
// their base from whoever loaded them.
std::optional<BoundImage> FindByBuildId(absl::string_view build_id);

// Whether what the tables refer to lies in the images. Error:
// FailedPrecondition, a sentence that names it.
absl::Status CheckTargets(const GeneratedTables& tables,
                          absl::Span<const BoundImage> images);

// The image's bytes, with its fields bound for a module that lies at `base`.
absl::StatusOr<std::string> BindImports(const ElfImage& image,
                                        const GeneratedTables& tables,
                                        absl::Span<const BoundImage> images,
                                        std::uintptr_t base);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_GENERATED_BINDING_H_

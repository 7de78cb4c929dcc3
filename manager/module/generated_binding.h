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
#include "base/wiped.h"
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
  WipedVector<AddressRange> readable;  // of the target: its segments
};

// The program or shared object that is loaded and has the name and the build id
// of `image`; nothing if no object has that build id. Copies of modules are not
// among them: they have their base from whoever loaded them.
// Error: FailedPrecondition, a sentence, if it is loaded more than once: in a
// namespace of its own (dlmopen), or from another file.
absl::StatusOr<std::optional<BoundImage>> FindLoaded(
    const GeneratedTables::Image& image);

// Whether what the tables refer to lies in the images, and is what they take it
// for. Error: FailedPrecondition, a sentence that names it. `remarks` gets a
// sentence for each function that is redefined and that others do not reach.
absl::Status CheckTargets(const GeneratedTables& tables,
                          absl::Span<const BoundImage> images,
                          std::vector<std::string>& remarks);

// The image's bytes, with its fields bound for a module that lies at `base`.
absl::StatusOr<std::string> BindImports(const ElfImage& image,
                                        const GeneratedTables& tables,
                                        absl::Span<const BoundImage> images,
                                        std::uintptr_t base);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_GENERATED_BINDING_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/variable.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/linux/image_pin.h"
#include "base/status_macros.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/name_index.h"
#include "code/symbols/images/symbol_name.h"
#include "code/symbols/images/symbol_table.h"

// Of the dynamic linker (ELF Handling For Thread-Local Storage, 3.4.2), which
// declares it nowhere.
struct tls_index {
  unsigned long ti_module;
  unsigned long ti_offset;
};
extern "C" void* __tls_get_addr(tls_index*);

namespace instar {

using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::NameIndex;
using code_internal::SymbolKind;
using code_internal::VariableRecord;

absl::StatusOr<Variable> Variable::Named(absl::string_view name,
                                         absl::string_view image) {
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  INSTAR_ASSIGN_OR_RETURN(
      const NameIndex::Match match,
      NameIndex::Find(*images, SymbolKind::kVariable, name, image));
  const LoadedImage& holder = *match.image;
  const VariableRecord& record = holder.symbols->variables()[match.index];
  Variable variable;
  variable.size = record.size;
  variable.name = code_internal::Demangle(record.name);
  variable.image = holder.symbols->name();
  variable.is_thread_local = record.is_thread_local;
  if (record.is_thread_local) {
    // Of an object that is not loaded there is no block to be had.
    const ImagePin pin = LoadedImages::Pin(holder);
    if (!pin.ok()) {
      return absl::NotFoundError(
          absl::StrCat(variable.image, ", which has ", name, ", was unloaded"));
    }
    tls_index index = {holder.thread_local_module, record.address};
    variable.address = __tls_get_addr(&index);
  } else {
    variable.address = reinterpret_cast<void*>(match.address);
  }
  return variable;
}

absl::Status code_internal::CheckSize(const Variable& variable, size_t size,
                                      const std::type_info& type) {
  if (variable.size == size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      variable.name, " in ", variable.image,
      variable.size == 0 ? absl::StrCat(" has no known size")
                         : absl::StrCat(" has ", variable.size, " bytes"),
      ", but ", DemangleType(type.name()), ", which was asked for, has ", size,
      ": ask for the type that the program was compiled with"));
}

}  // namespace instar

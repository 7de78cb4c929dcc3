// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Finding what a pointer to a virtual member function leads to (Itanium C++ ABI
// 2.3, member function pointers, and 2.5.2, virtual tables).

#include <cstring>
#include <typeinfo>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/linux/image_pin.h"
#include "code/symbols/function.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace {

using code_internal::DemangleType;
using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::SymbolTable;
using code_internal::VariableRecord;

uintptr_t Load(uintptr_t address) {
  uintptr_t value;
  std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof(value));
  return value;
}

// The virtual tables of a class lie in one object, its primary one first, each
// preceded by the offset from its subobject to the whole and the class's
// type_info. Returns where the table for the subobject begins, or 0.
uintptr_t FindTable(uintptr_t tables, size_t size, const std::type_info& type,
                    ptrdiff_t subobject) {
  for (uintptr_t word = tables + 8; word + 8 <= tables + size; word += 8) {
    if (Load(word) == reinterpret_cast<uintptr_t>(&type) &&
        static_cast<ptrdiff_t>(Load(word - 8)) == -subobject) {
      return word + 8;
    }
  }
  return 0;
}

// A `<call-offset>` without its `h` or `v`: "n16_" or "0_n24_".
bool ConsumeNumber(absl::string_view* text) {
  size_t i = 0;
  if (i < text->size() && (*text)[i] == 'n') ++i;
  const size_t digits = i;
  while (i < text->size() && absl::ascii_isdigit((*text)[i])) ++i;
  if (i == digits || i == text->size() || (*text)[i] != '_') return false;
  text->remove_prefix(i + 1);
  return true;
}

bool ConsumeCallOffset(absl::string_view* text) {
  if (text->empty()) return false;
  const char kind = text->front();
  if (kind != 'h' && kind != 'v') return false;
  text->remove_prefix(1);
  if (!ConsumeNumber(text)) return false;
  return kind == 'h' || ConsumeNumber(text);
}

// The linkage name of the function that a thunk adjusts `this` (or the result)
// for; empty if this is no thunk. Itanium C++ ABI 5.1.4.
std::string BehindThunk(absl::string_view name) {
  if (name.substr(0, 3) != "_ZT") return "";
  absl::string_view rest = name.substr(3);
  const bool covariant = !rest.empty() && rest.front() == 'c';
  if (covariant) rest.remove_prefix(1);
  if (!ConsumeCallOffset(&rest)) return "";
  if (covariant && !ConsumeCallOffset(&rest)) return "";
  return absl::StrCat("_Z", rest);
}

}  // namespace

absl::StatusOr<Function> Function::OfVirtual(MemberPointer member,
                                             const void* object) {
  const uintptr_t subobject =
      reinterpret_cast<uintptr_t>(object) + member.this_adjustment;
  return OfSlot(Load(Load(subobject) + member.code - 1));
}

absl::StatusOr<Function> Function::OfVirtual(MemberPointer member,
                                             const std::type_info& type) {
  const std::string symbol = absl::StrCat("_ZTV", type.name());
  bool stripped = false;
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  for (const LoadedImage& image : images->images()) {
    stripped |= !image.symbols->has_local_symbols();
    for (const VariableRecord& variable : image.symbols->variables()) {
      if (symbol != variable.name) continue;
      const ImagePin pin = LoadedImages::Pin(image);
      if (!pin.ok()) continue;
      const uintptr_t table =
          FindTable(image.load_base + variable.address, variable.size, type,
                    member.this_adjustment);
      if (table != 0) return OfSlot(Load(table + member.code - 1));
    }
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the virtual table of ", DemangleType(type.name()), " was not found",
      ", because no object of that class is ever made",
      stripped ? ", or because its file was stripped" : "",
      ": pass an object of the class as well, Function::Of(member, object)"));
}

absl::StatusOr<Function> Function::OfSlot(uintptr_t address) {
  absl::StatusOr<Function> function = AtEntry(address);
  if (!function.ok()) return function;
  if (function->linkage_name() == "__cxa_pure_virtual") {
    return absl::FailedPreconditionError(
        "the member function is pure virtual in this class: name a class that "
        "defines it, or pass an object");
  }
  const std::string target = BehindThunk(function->linkage_name());
  if (target.empty()) return function;
  // A thunk lies in the same object file as its function.
  const SymbolTable& table = *function->table_;
  for (const code_internal::FunctionRecord& record : table.functions()) {
    for (const char* name : table.names(record)) {
      if (target == name)
        return Function(&table, &record, function->load_base_);
    }
  }
  return absl::NotFoundError(
      absl::StrCat("the virtual table leads to ", function->name(),
                   ", but the function behind it was not found"));
}

}  // namespace instar

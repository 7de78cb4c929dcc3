// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/return_type.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/linux/mapped_file.h"
#include "base/linux/own_descriptor.h"
#include "base/status_macros.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_name.h"
#include "code/symbols/inlining/dwarf_file.h"

namespace instar {
namespace {

using code_internal::DwarfFile;
using code_internal::LoadedImage;
using code_internal::LoadedImages;

struct Type {
  std::string name;     // for people
  std::string key;      // the same for types that are the same
  Dwarf_Word size = 0;  // of an object that is returned; 0: not known
  bool is_known = true;
};

// The type that a DIE refers to; false if it refers to none: void.
bool FollowType(Dwarf_Die* die, Dwarf_Die* type) {
  Dwarf_Attribute attribute;
  return dwarf_attr_integrate(die, DW_AT_type, &attribute) != nullptr &&
         dwarf_formref_die(&attribute, type) != nullptr;
}

// The namespaces and classes around it: "shop::Site::".
std::string ScopeOf(Dwarf_Die* die) {
  Dwarf_Die* scopes = nullptr;
  const int count = dwarf_getscopes_die(die, &scopes);
  const absl::Cleanup free_scopes = [scopes] { std::free(scopes); };
  std::string scope;
  for (int i = 1; i < count; ++i) {
    switch (dwarf_tag(&scopes[i])) {
      case DW_TAG_namespace:
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
      case DW_TAG_union_type:
      case DW_TAG_subprogram: {
        const char* name = dwarf_diename(&scopes[i]);
        scope = absl::StrCat(name == nullptr ? "(unnamed)" : name, "::", scope);
        break;
      }
      default:
        break;
    }
  }
  return scope;
}

// No type is nested deeper; a description that was overwritten may be endless.
constexpr int kMostLevels = 64;

Type Describe(Dwarf_Die* die, int level);

// What `die` refers to, with something behind it.
Type DescribeWithSuffix(Dwarf_Die* die, absl::string_view suffix, int level) {
  Dwarf_Die target;
  Type type;
  if (FollowType(die, &target)) {
    type = Describe(&target, level + 1);
  } else {
    type.name = type.key = "void";
  }
  absl::StrAppend(&type.name, suffix);
  absl::StrAppend(&type.key, suffix);
  return type;
}

Type DescribeFunctionType(Dwarf_Die* die, int level) {
  Type type = DescribeWithSuffix(die, " (", level);
  Dwarf_Die child;
  if (dwarf_child(die, &child) == 0) {
    do {
      if (dwarf_tag(&child) != DW_TAG_formal_parameter) continue;
      const Type parameter = DescribeWithSuffix(&child, ", ", level);
      type.name += parameter.name;
      type.key += parameter.key;
      type.is_known = type.is_known && parameter.is_known;
    } while (dwarf_siblingof(&child, &child) == 0);
  }
  type.name += ")";
  type.key += ")";
  return type;
}

bool IsNamed(Dwarf_Die* die) {
  switch (dwarf_tag(die)) {
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
      return true;
    default:
      return false;
  }
}

// The description itself of a type that may have a unit of its own.
void FollowSignature(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  Dwarf_Die full;
  if (dwarf_attr(die, DW_AT_signature, &attribute) != nullptr &&
      dwarf_formref_die(&attribute, &full) != nullptr) {
    *die = full;
  }
}

// A struct, union or enumeration. The name of one that has none of its own,
// `typedef struct { int quot, rem; } div_t;`, is the one that `names`, its
// typedef, gives it (C++17, [dcl.typedef]/9).
Type DescribeNamed(Dwarf_Die* die, Dwarf_Die* names) {
  Type type;
  FollowSignature(die);
  Dwarf_Die* const named =
      dwarf_diename(die) == nullptr && names != nullptr ? names : die;
  const char* name = dwarf_diename(named);
  if (name == nullptr) {
    type.name = "a type without a name";
    type.is_known = false;
    return type;
  }
  type.name = absl::StrCat(ScopeOf(named), name);
  type.key = type.name;
  dwarf_aggregate_size(die, &type.size);
  return type;
}

Type Describe(Dwarf_Die* die, int level) {
  Type type;
  if (level > kMostLevels) {
    type.is_known = false;
    return type;
  }
  switch (dwarf_tag(die)) {
    case DW_TAG_typedef: {
      Dwarf_Die target;
      if (FollowType(die, &target) && IsNamed(&target)) {
        return DescribeNamed(&target, die);
      }
      return DescribeWithSuffix(die, "", level);
    }
    case DW_TAG_const_type:
      return DescribeWithSuffix(die, " const", level);
    case DW_TAG_volatile_type:
      return DescribeWithSuffix(die, " volatile", level);
    case DW_TAG_pointer_type:
      type = DescribeWithSuffix(die, "*", level);
      break;
    case DW_TAG_reference_type:
      type = DescribeWithSuffix(die, "&", level);
      break;
    case DW_TAG_rvalue_reference_type:
      type = DescribeWithSuffix(die, "&&", level);
      break;
    case DW_TAG_ptr_to_member_type: {
      type = DescribeWithSuffix(die, " ", level);
      Dwarf_Attribute attribute;
      Dwarf_Die holder;
      if (dwarf_attr(die, DW_AT_containing_type, &attribute) != nullptr &&
          dwarf_formref_die(&attribute, &holder) != nullptr) {
        const Type of = Describe(&holder, level + 1);
        type.name += of.name;
        type.key += of.key;
        type.is_known = type.is_known && of.is_known;
      }
      type.name += "::*";
      type.key += "::*";
      break;
    }
    case DW_TAG_subroutine_type:
      return DescribeFunctionType(die, level);
    case DW_TAG_base_type: {
      const char* name = dwarf_diename(die);
      Dwarf_Attribute attribute;
      Dwarf_Word encoding = 0;
      if (dwarf_attr(die, DW_AT_encoding, &attribute) != nullptr) {
        dwarf_formudata(&attribute, &encoding);
      }
      dwarf_aggregate_size(die, &type.size);
      type.name = name == nullptr ? "a number" : name;
      type.key = absl::StrCat("number ", encoding, " ", type.size);
      return type;
    }
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
      return DescribeNamed(die, /*names=*/nullptr);
    default: {
      const char* name = dwarf_diename(die);
      type.is_known = name != nullptr;
      type.name = type.key = name == nullptr ? "an unknown type" : name;
      return type;
    }
  }
  type.size = 0;  // what it points to may be anything
  return type;
}

// Finds the description of the function that starts there, below `parent`; also
// in functions, where lambdas are, if that is asked for.
bool FindFunction(Dwarf_Die* parent, Dwarf_Addr entry, bool in_functions,
                  Dwarf_Die* found) {
  Dwarf_Die die;
  if (dwarf_child(parent, &die) != 0) return false;
  do {
    switch (dwarf_tag(&die)) {
      case DW_TAG_subprogram: {
        for (Dwarf_Addr begin : code_internal::BeginsOf(&die)) {
          if (begin != entry) continue;
          *found = die;
          return true;
        }
        if (in_functions && FindFunction(&die, entry, in_functions, found)) {
          return true;
        }
        break;
      }
      case DW_TAG_lexical_block:
      case DW_TAG_namespace:
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
        if (FindFunction(&die, entry, in_functions, found)) return true;
        break;
      default:
        break;
    }
  } while (dwarf_siblingof(&die, &die) == 0);
  return false;
}

// What is returned is the same whether it is called const or not. False if it
// is `const void`.
bool SkipQualifiers(Dwarf_Die* type) {
  for (int level = 0; level < kMostLevels; ++level) {
    Dwarf_Die target = *type;
    // Also behind names for it.
    while (dwarf_tag(&target) == DW_TAG_typedef &&
           FollowType(&target, &target) && !IsNamed(&target)) {
    }
    if (dwarf_tag(&target) != DW_TAG_const_type &&
        dwarf_tag(&target) != DW_TAG_volatile_type) {
      break;
    }
    if (!FollowType(&target, type)) return false;
  }
  return true;
}

// With -g1 functions are described without their types, as if all were void.
bool HasTypes(Dwarf_Die* unit) {
  Dwarf_Attribute attribute;
  const char* producer = dwarf_attr(unit, DW_AT_producer, &attribute) == nullptr
                             ? nullptr
                             : dwarf_formstring(&attribute);
  return producer != nullptr && !absl::StrContains(producer, " -g1");
}

absl::Status NotKnown(const Function& function, absl::string_view why) {
  return absl::FailedPreconditionError(
      absl::StrCat("what ", function.name(), " in ", function.image(),
                   " returns is not known: ", why));
}

absl::StatusOr<Type> ReadReturnType(const Function& function, DwarfFile& file) {
  const Dwarf_Addr entry = function.entry() - function.load_base();
  absl::StatusOr<Type> result =
      NotKnown(function, "its source file was compiled without -g");
  INSTAR_RETURN_IF_ERROR(
      file.ForEachUnit([&](Dwarf_Die* unit, Dwarf_Die* contents) {
        if (dwarf_haspc(unit, entry) <= 0) return true;
        Dwarf_Die found;
        if (contents == nullptr ||
            (!FindFunction(contents, entry, /*in_functions=*/false, &found) &&
             !FindFunction(contents, entry, /*in_functions=*/true, &found))) {
          return true;
        }
        Dwarf_Die type;
        if (FollowType(&found, &type) && SkipQualifiers(&type)) {
          result = Describe(&type, 0);
        } else if (HasTypes(contents)) {
          Type none;
          none.name = none.key = "void";
          result = none;
        }
        return false;
      }));
  return result;
}

absl::StatusOr<Type> ReturnTypeOf(const Function& function) {
  const LoadedImage* image = nullptr;
  const auto images = LoadedImages::Current();
  image = images->Find(function.entry());
  if (image == nullptr) return NotKnown(function, "it is not loaded");
  INSTAR_ASSIGN_OR_RETURN(const OwnDescriptor file,
                          image->symbols->OpenDebugInformation());
  const TruncationGuard guard;  // it may be overwritten at any time
  absl::StatusOr<DwarfFile> dwarf = DwarfFile::Of(file.number());
  if (!dwarf.ok()) {
    return NotKnown(function, absl::StrCat("its debug information: ",
                                           dwarf.status().message()));
  }
  absl::StatusOr<Type> type = ReadReturnType(function, *dwarf);
  if (guard.has_hit()) {
    return NotKnown(function, "its file was overwritten while it was read");
  }
  if (type.ok() && !type->is_known) return NotKnown(function, type->name);
  return type;
}

// Whether debug information and the compiler may write one name in two ways.
bool HasSpellings(absl::string_view name) {
  return absl::StrContains(name, "<") || absl::StrContains(name, "(");
}

absl::Status Compare(const Function& a, const Type& first, const Function& b,
                     const Type& second) {
  if (first.key != second.key) {
    return absl::InvalidArgumentError(absl::StrCat(a.name(), " returns ",
                                                   first.name, ", ", b.name(),
                                                   " returns ", second.name));
  }
  if (first.size != second.size && first.size != 0 && second.size != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(a.name(), " and ", b.name(), " return ", first.name,
                     ", which has ", first.size, " bytes in one of them and ",
                     second.size, " in the other"));
  }
  return absl::OkStatus();
}

absl::Status NoMemoryFor(const Function& a, const Function& b) {
  return absl::ResourceExhaustedError(
      absl::StrCat("there is no memory for the debug information of ",
                   a.image(), " and ", b.image()));
}

}  // namespace

absl::Status CompareReturnTypes(const Function& a, const Function& b) try {
  INSTAR_ASSIGN_OR_RETURN(const Type first, ReturnTypeOf(a));
  INSTAR_ASSIGN_OR_RETURN(const Type second, ReturnTypeOf(b));
  return Compare(a, first, b, second);
} catch (const std::bad_alloc&) {
  return NoMemoryFor(a, b);
}

absl::Status CompareReturnTypes(const Function& a, const Function& b,
                                const StaticType& type_of_b) try {
  if (!type_of_b.is_known) return CompareReturnTypes(a, b);
  INSTAR_ASSIGN_OR_RETURN(Type first, ReturnTypeOf(a));
  first.key = code_internal::CanonicalName(first.key);
  Type second;
  second.name = type_of_b.name;
  second.key = code_internal::CanonicalName(type_of_b.key);
  second.size = type_of_b.size;
  if (first.key != second.key &&
      (HasSpellings(first.key) || HasSpellings(second.key))) {
    return CompareReturnTypes(a, b);
  }
  return Compare(a, first, b, second);
} catch (const std::bad_alloc&) {
  return NoMemoryFor(a, b);
}

namespace code_internal {

std::string NameOfPointee(const char* pointer_name) {
  return DemangleType(*pointer_name == 'P' ? pointer_name + 1 : pointer_name);
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/die_tree.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace instar {
namespace differ {
namespace {

// No source nests deeper; a description that is damaged may.
constexpr int kMostLevels = 1000;

bool IsLeftOut(int tag) {
  switch (tag) {
    case DW_TAG_call_site:
    case DW_TAG_call_site_parameter:
    case DW_TAG_GNU_call_site:
    case DW_TAG_GNU_call_site_parameter:
    case DW_TAG_imported_declaration:
    case DW_TAG_imported_module:
      return true;
    default:
      return false;
  }
}

bool IsKept(unsigned int code) {
  switch (code) {
    case DW_AT_alignment:
    case DW_AT_bit_offset:
    case DW_AT_bit_size:
    case DW_AT_byte_size:
    case DW_AT_comp_dir:
    case DW_AT_const_value:
    case DW_AT_containing_type:
    case DW_AT_count:
    case DW_AT_data_bit_offset:
    case DW_AT_data_member_location:
    case DW_AT_decl_file:
    case DW_AT_decl_line:
    case DW_AT_defaulted:
    case DW_AT_encoding:
    case DW_AT_export_symbols:
    case DW_AT_GNU_vector:
    case DW_AT_high_pc:
    case DW_AT_inline:
    case DW_AT_language:
    case DW_AT_location:
    case DW_AT_low_pc:
    case DW_AT_noreturn:
    case DW_AT_prototyped:
    case DW_AT_ranges:
    case DW_AT_upper_bound:
    case DW_AT_virtuality:
    case DW_AT_vtable_elem_location:
      return true;
    default:
      return false;
  }
}

template <typename T>
std::uint64_t ReadAs(const unsigned char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

}  // namespace

class DieTree::Reader {
 public:
  Reader(Dwarf* dwarf, DieTree* tree) : dwarf_(dwarf), tree_(*tree) {}

  absl::Status Read() {
    Dwarf_CU* unit = nullptr;
    Dwarf_Half version = 0;
    std::uint8_t type = 0;
    Dwarf_Die die;
    for (;;) {
      const int result =
          dwarf_get_units(dwarf_, unit, &unit, &version, &type, &die, nullptr);
      if (result == 1) break;
      if (result != 0) return Damaged();
      if (type == DW_UT_type || type == DW_UT_split_type) {
        return absl::FailedPreconditionError(
            "has types in sections of their own; compile without "
            "-fdebug-types-section");
      }
      if (type != DW_UT_compile && type != DW_UT_partial) {
        return SplitError(&die);
      }
      INSTAR_RETURN_IF_ERROR(ReadUnit(&die));
    }
    return Resolve();
  }

 private:
  static absl::Status Damaged() {
    return absl::InvalidArgumentError(
        absl::StrCat("has damaged debug information: ", dwarf_errmsg(-1)));
  }

  static absl::Status SplitError(Dwarf_Die* die) {
    const char* file = nullptr;
    Dwarf_Attribute attribute;
    for (unsigned int kind : {DW_AT_dwo_name, DW_AT_GNU_dwo_name}) {
      if (file == nullptr && dwarf_attr(die, kind, &attribute) != nullptr) {
        file = dwarf_formstring(&attribute);
      }
    }
    return absl::FailedPreconditionError(
        absl::StrCat("has its debug information in ",
                     file == nullptr ? "another file" : file,
                     "; compile without -gsplit-dwarf"));
  }

  absl::Status ReadUnit(Dwarf_Die* die) {
    if (dwarf_hasattr(die, DW_AT_GNU_dwo_name) != 0 ||
        dwarf_hasattr(die, DW_AT_dwo_name) != 0) {
      return SplitError(die);
    }
    unit_ = dwarf_dieoffset(die) - dwarf_cuoffset(die);
    tree_.units_.push_back(static_cast<DieIndex>(tree_.dies_.size()));
    return ReadDie(die, kNoDie, 0);
  }

  absl::Status ReadDie(Dwarf_Die* die, DieIndex parent, int level) {
    if (level > kMostLevels) {
      return absl::InvalidArgumentError(
          "has damaged debug information: nested too deeply");
    }
    const auto index = static_cast<DieIndex>(tree_.dies_.size());
    tree_.dies_.emplace_back();
    current_ = &tree_.dies_.back();
    current_->offset = static_cast<std::uint32_t>(dwarf_dieoffset(die));
    current_->parent = parent;
    current_->tag = static_cast<std::uint16_t>(dwarf_tag(die));
    current_->first_attribute =
        static_cast<std::uint32_t>(tree_.attributes_.size());
    failed_ = current_->tag == DW_TAG_invalid;
    if (failed_ || dwarf_getattrs(die, &Reader::Visit, this, 0) == -1 ||
        failed_) {
      return Damaged();
    }
    Dwarf_Die child;
    int result = dwarf_child(die, &child);
    DieIndex previous = kNoDie;
    while (result == 0) {
      if (!IsLeftOut(dwarf_tag(&child))) {
        const auto at = static_cast<DieIndex>(tree_.dies_.size());
        if (previous != kNoDie) tree_.dies_[previous].next = at;
        previous = at;
        INSTAR_RETURN_IF_ERROR(ReadDie(&child, index, level + 1));
      }
      result = dwarf_siblingof(&child, &child);
    }
    return result < 0 ? Damaged() : absl::OkStatus();
  }

  static int Visit(Dwarf_Attribute* attribute, void* self) {
    static_cast<Reader*>(self)->Take(attribute);
    return DWARF_CB_OK;
  }

  void Take(Dwarf_Attribute* attribute) {
    switch (attribute->code) {
      case DW_AT_name:
        current_->name = dwarf_formstring(attribute);
        break;
      case DW_AT_linkage_name:
      case DW_AT_MIPS_linkage_name:
        current_->linkage_name = dwarf_formstring(attribute);
        break;
      case DW_AT_type:
        current_->type = Target(attribute);
        break;
      case DW_AT_abstract_origin:
        current_->origin = Target(attribute);
        break;
      case DW_AT_specification:
        if (current_->origin == kNoDie) current_->origin = Target(attribute);
        break;
      case DW_AT_declaration:
        current_->is_declaration = Flag(attribute);
        break;
      case DW_AT_external:
        current_->is_external = Flag(attribute);
        break;
      case DW_AT_artificial:
        current_->is_artificial = Flag(attribute);
        break;
      case DW_AT_producer: {
        DieAttribute kept;
        kept.code = DW_AT_producer;
        TakeString(attribute, &kept);
        break;
      }
      default:
        if (IsKept(attribute->code)) TakeOther(attribute);
    }
  }

  void TakeString(Dwarf_Attribute* attribute, DieAttribute* kept) {
    const char* const text = dwarf_formstring(attribute);
    if (text == nullptr) {
      failed_ = true;
      return;
    }
    kept->kind = DieAttribute::Kind::kBlock;
    kept->value = reinterpret_cast<std::uint64_t>(text);
    kept->size = static_cast<std::uint32_t>(std::strlen(text));
    tree_.attributes_.push_back(*kept);
  }

  void TakeOther(Dwarf_Attribute* attribute) {
    DieAttribute kept;
    kept.code = static_cast<std::uint16_t>(attribute->code);
    kept.kind = DieAttribute::Kind::kConstant;
    Dwarf_Word word = 0;
    Dwarf_Block block;
    bool flag = false;
    switch (attribute->form) {
      case DW_FORM_string:
      case DW_FORM_strp:
      case DW_FORM_line_strp:
      case DW_FORM_strx:
      case DW_FORM_strx1:
      case DW_FORM_strx2:
      case DW_FORM_strx3:
      case DW_FORM_strx4:
        TakeString(attribute, &kept);
        return;
      case DW_FORM_exprloc:
      case DW_FORM_block:
      case DW_FORM_block1:
      case DW_FORM_block2:
      case DW_FORM_block4:
      case DW_FORM_data16:
        if (dwarf_formblock(attribute, &block) != 0) {
          kept.kind = DieAttribute::Kind::kOther;
          break;
        }
        kept.kind = DieAttribute::Kind::kBlock;
        kept.value = reinterpret_cast<std::uint64_t>(block.data);
        kept.size = static_cast<std::uint32_t>(block.length);
        break;
      case DW_FORM_flag:
      case DW_FORM_flag_present:
        failed_ |= dwarf_formflag(attribute, &flag) != 0;
        kept.value = flag ? 1 : 0;
        break;
      case DW_FORM_ref1:
      case DW_FORM_ref2:
      case DW_FORM_ref4:
      case DW_FORM_ref8:
      case DW_FORM_ref_udata:
      case DW_FORM_ref_addr:
        kept.kind = DieAttribute::Kind::kReference;
        kept.value = Target(attribute);
        break;
      case DW_FORM_addr:
      case DW_FORM_addrx:
      case DW_FORM_addrx1:
      case DW_FORM_addrx2:
      case DW_FORM_addrx3:
      case DW_FORM_addrx4:
        failed_ |= dwarf_formaddr(attribute, &word) != 0;
        kept.value = word;
        break;
      case DW_FORM_data1:
      case DW_FORM_data2:
      case DW_FORM_data4:
      case DW_FORM_data8:
      case DW_FORM_udata:
      case DW_FORM_sdata:
      case DW_FORM_implicit_const:
        // libdw reads a location in a version that had no DW_FORM_sec_offset
        // as a constant, too.
        if (dwarf_formudata(attribute, &word) != 0) {
          kept.kind = DieAttribute::Kind::kOther;
        }
        kept.value = word;
        break;
      default:
        kept.kind = DieAttribute::Kind::kOther;
        break;
    }
    tree_.attributes_.push_back(kept);
  }

  bool Flag(Dwarf_Attribute* attribute) {
    bool value = false;
    failed_ |= dwarf_formflag(attribute, &value) != 0;
    return value;
  }

  // The offset of what it refers to, until Resolve() makes an index of it.
  DieIndex Target(Dwarf_Attribute* attribute) {
    switch (attribute->form) {
      case DW_FORM_ref1:
        return static_cast<DieIndex>(unit_ + *attribute->valp);
      case DW_FORM_ref2:
        return static_cast<DieIndex>(unit_ +
                                     ReadAs<std::uint16_t>(attribute->valp));
      case DW_FORM_ref4:
        return static_cast<DieIndex>(unit_ +
                                     ReadAs<std::uint32_t>(attribute->valp));
      default:
        break;
    }
    Dwarf_Die target;
    if (dwarf_formref_die(attribute, &target) == nullptr) {
      failed_ = true;
      return kNoDie;
    }
    return static_cast<DieIndex>(dwarf_dieoffset(&target));
  }

  absl::Status Resolve() {
    if (tree_.dies_.empty()) return absl::OkStatus();
    std::vector<DieIndex> index(tree_.dies_.back().offset + std::size_t{1},
                                kNoDie);
    for (DieIndex i = 0; i < tree_.dies_.size(); ++i) {
      index[tree_.dies_[i].offset] = i;
    }
    // What is left out is kNoDie.
    const auto resolved = [&index](std::uint64_t offset) {
      return offset < index.size() ? index[offset] : kNoDie;
    };
    for (Die& die : tree_.dies_) {
      if (die.type != kNoDie) {
        die.type = resolved(die.type);
        if (die.type == kNoDie) return Lost();
      }
      if (die.origin != kNoDie) {
        die.origin = resolved(die.origin);
        if (die.origin == kNoDie) return Lost();
      }
    }
    for (DieIndex i = 0; i < tree_.dies_.size(); ++i) {
      if (IsInRing(i)) {
        return absl::InvalidArgumentError(
            "has damaged debug information: an entry is an instance of itself");
      }
    }
    for (DieAttribute& attribute : tree_.attributes_) {
      if (attribute.kind == DieAttribute::Kind::kReference) {
        attribute.value = resolved(attribute.value);
      }
    }
    return absl::OkStatus();
  }

  // Whether its chain of origins, which is short, has no end.
  bool IsInRing(DieIndex die) const {
    constexpr int kMostOrigins = 16;
    for (int i = 0; i < kMostOrigins; ++i) {
      die = tree_.dies_[die].origin;
      if (die == kNoDie) return false;
    }
    return true;
  }

  static absl::Status Lost() {
    return absl::InvalidArgumentError(
        "has damaged debug information: a reference leads to nothing");
  }

  Dwarf* const dwarf_;
  DieTree& tree_;
  Dwarf_Off unit_ = 0;
  Die* current_ = nullptr;  // while its attributes are read
  bool failed_ = false;
};

absl::StatusOr<DieTree> DieTree::Read(Dwarf* dwarf) {
  DieTree tree;
  INSTAR_RETURN_IF_ERROR(Reader(dwarf, &tree).Read());
  return tree;
}

DieTree::Children DieTree::ChildrenOf(DieIndex parent) const {
  const DieIndex first = parent + 1;
  const bool has = first < dies_.size() && dies_[first].parent == parent;
  return Children(this, has ? first : kNoDie);
}

DieIndex DieTree::EndOf(DieIndex die) const {
  for (DieIndex at = die; at != kNoDie; at = dies_[at].parent) {
    if (dies_[at].next != kNoDie) return dies_[at].next;
    if (dies_[at].parent == kNoDie) {
      const auto unit = std::upper_bound(units_.begin(), units_.end(), at);
      return unit == units_.end() ? static_cast<DieIndex>(dies_.size()) : *unit;
    }
  }
  return static_cast<DieIndex>(dies_.size());
}

const DieAttribute* DieTree::Find(DieIndex die, unsigned int code) const {
  const std::size_t end = die + std::size_t{1} < dies_.size()
                              ? dies_[die + 1].first_attribute
                              : attributes_.size();
  for (std::size_t i = dies_[die].first_attribute; i < end; ++i) {
    if (attributes_[i].code == code) return &attributes_[i];
  }
  return nullptr;
}

std::optional<std::uint64_t> DieTree::Constant(DieIndex die,
                                               unsigned int code) const {
  const DieAttribute* const attribute = Find(die, code);
  if (attribute == nullptr ||
      attribute->kind != DieAttribute::Kind::kConstant) {
    return std::nullopt;
  }
  return attribute->value;
}

std::optional<std::uint64_t> DieTree::ConstantOf(DieIndex die,
                                                 unsigned int code) const {
  for (; die != kNoDie; die = dies_[die].origin) {
    const auto value = Constant(die, code);
    if (value.has_value()) return value;
  }
  return std::nullopt;
}

const char* DieTree::NameOf(DieIndex die) const {
  for (; die != kNoDie; die = dies_[die].origin) {
    if (dies_[die].name != nullptr) return dies_[die].name;
  }
  return nullptr;
}

const char* DieTree::LinkageNameOf(DieIndex die) const {
  for (; die != kNoDie; die = dies_[die].origin) {
    if (dies_[die].linkage_name != nullptr) return dies_[die].linkage_name;
  }
  return nullptr;
}

DieIndex DieTree::TypeOf(DieIndex die) const {
  for (; die != kNoDie; die = dies_[die].origin) {
    if (dies_[die].type != kNoDie) return dies_[die].type;
  }
  return kNoDie;
}

DieIndex DieTree::RootOf(DieIndex die) const {
  while (dies_[die].origin != kNoDie) die = dies_[die].origin;
  return die;
}

bool DieTree::IsClass(DieIndex die) const {
  switch (dies_[die].tag) {
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
      return true;
    default:
      return false;
  }
}

bool DieTree::IsC(DieIndex die) const {
  switch (Constant(UnitOf(die), DW_AT_language).value_or(0)) {
    case DW_LANG_C89:
    case DW_LANG_C:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case 0x2c:  // DW_LANG_C17
      return true;
    default:
      return false;
  }
}

DieIndex DieTree::UnitOf(DieIndex die) const {
  return *(std::upper_bound(units_.begin(), units_.end(), die) - 1);
}

}  // namespace differ
}  // namespace instar

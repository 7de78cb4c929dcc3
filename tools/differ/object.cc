// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/object.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace instar {
namespace differ {
namespace {

// "hits.3" gives "hits"; nothing is taken off of what has no number.
absl::string_view WithoutLastNumber(absl::string_view name) {
  std::size_t end = name.size();
  while (end > 0 && absl::ascii_isdigit(name[end - 1])) --end;
  if (end == name.size() || end == 0 || name[end - 1] != '.') return name;
  return name.substr(0, end - 1);
}

// Sections that say something of others, and go along with those.
bool IsAboutOthers(const Section& section) {
  static constexpr absl::string_view kPrefixes[] = {
      ".eh_frame",
      ".init_array",
      ".fini_array",
      ".preinit_array",
      ".ctors",
      ".dtors",
      "__patchable_function_entries",
      ".note",
      ".stapsdt"};
  return std::any_of(std::begin(kPrefixes), std::end(kPrefixes),
                     [&](absl::string_view prefix) {
                       return absl::StartsWith(section.name, prefix);
                     });
}

// A function that corrects `this` and goes on in another one; it may share that
// one's section. (Itanium C++ ABI 5.1.4.)
bool IsThunk(absl::string_view name) {
  return absl::StartsWith(name, "_ZTh") || absl::StartsWith(name, "_ZTv") ||
         absl::StartsWith(name, "_ZTc");
}

// Of several names of one thing that which another build most likely has, too.
const Symbol* FirstName(const std::vector<const Symbol*>& symbols) {
  return *std::min_element(symbols.begin(), symbols.end(),
                           [](const Symbol* a, const Symbol* b) {
                             return std::make_pair(a->is_local(), a->name) <
                                    std::make_pair(b->is_local(), b->name);
                           });
}

}  // namespace

bool Unit::is_global() const { return !global_name().empty(); }

absl::string_view Unit::global_name() const {
  for (const Symbol* symbol : symbols) {
    if (!symbol->is_local() && (!is_function() || symbol->value == entry)) {
      return symbol->name;
    }
  }
  return {};
}

std::vector<const Symbol*> Unit::thunks() const {
  std::vector<const Symbol*> found;
  if (!is_function()) return found;
  std::copy_if(symbols.begin(), symbols.end(), std::back_inserter(found),
               [this](const Symbol* symbol) {
                 return IsThunk(symbol->name) && symbol->value != entry &&
                        symbol->section == main().index;
               });
  return found;
}

bool Unit::is_constant() const {
  return !main().Has(SHF_WRITE) ||
         absl::StartsWith(main().name, ".data.rel.ro");
}

bool Unit::is_indirect() const {
  return std::any_of(symbols.begin(), symbols.end(), [](const Symbol* symbol) {
    return symbol->type == STT_GNU_IFUNC;
  });
}

bool Unit::is_initializer() const {
  static constexpr absl::string_view kPrefixes[] = {
      "_GLOBAL__sub_I_", "_GLOBAL__sub_D_", "_GLOBAL__I_", "_GLOBAL__D_",
      // With a priority: _GLOBAL__sub_I.00200_
      "_GLOBAL__sub_I.", "_GLOBAL__sub_D.", "_GLOBAL__I.", "_GLOBAL__D."};
  return std::any_of(
      std::begin(kPrefixes), std::end(kPrefixes),
      [&](absl::string_view prefix) { return absl::StartsWith(name, prefix); });
}

bool IsMadeUp(absl::string_view name) {
  if (absl::StartsWith(name, ".L") || absl::StartsWith(name, "DW.ref.")) {
    return true;
  }
  const absl::string_view stem = WithoutLastNumber(name);
  if (stem.size() != name.size()) {
    if (stem == "CSWTCH" || stem == "__func__" || stem == "__FUNCTION__" ||
        stem == "__PRETTY_FUNCTION__") {
      return true;
    }
    const absl::string_view inner = WithoutLastNumber(stem);
    if (inner.size() != stem.size() && inner == "C") return true;
  }
  if (absl::StartsWith(name, "_ZZ")) {
    // ..._E12__FUNCTION__, with `_0` behind it for the second one.
    absl::string_view local = name;
    const std::size_t underscore = local.rfind('_');
    if (underscore + 1 < local.size() &&
        std::all_of(local.begin() + underscore + 1, local.end(),
                    absl::ascii_isdigit)) {
      local = local.substr(0, underscore);
    }
    for (const absl::string_view made_up :
         {"8__func__", "12__FUNCTION__", "19__PRETTY_FUNCTION__"}) {
      if (absl::EndsWith(local, made_up)) return true;
    }
  }
  return false;
}

std::string WithoutNumbers(absl::string_view name) {
  std::string result;
  for (std::size_t i = 0; i < name.size();) {
    if (name[i] == '.' && i > 0) {
      std::size_t end = i + 1;
      while (end < name.size() && absl::ascii_isdigit(name[end])) ++end;
      if (end > i + 1 && (end == name.size() || name[end] == '.')) {
        i = end;
        continue;
      }
    }
    result += name[i++];
  }
  return result;
}

std::uint64_t FieldSize(std::uint32_t type) {
  switch (type) {
    case R_X86_64_NONE:
    case R_X86_64_TLSDESC_CALL:
      return 0;
    case R_X86_64_64:
    case R_X86_64_PC64:
    case R_X86_64_DTPOFF64:
    case R_X86_64_TPOFF64:
    case R_X86_64_GOTOFF64:
    case R_X86_64_SIZE64:
      return 8;
    default:
      return 4;
  }
}

std::uint64_t OffsetInTarget(const Object& object,
                             const Relocation& relocation) {
  const std::uint64_t offset = object.SymbolOf(relocation).value +
                               static_cast<std::uint64_t>(relocation.addend);
  return relocation.type == R_X86_64_PC32 || relocation.type == R_X86_64_PLT32
             ? offset + 4
             : offset;
}

bool IsFieldOfCall(const Section& code, const Relocation& relocation) {
  const auto byte = [&](std::uint64_t back) {
    return back > relocation.offset ? 0U
                                    : static_cast<unsigned char>(
                                          code.bytes[relocation.offset - back]);
  };
  switch (relocation.type) {
    case R_X86_64_PLT32:
    case R_X86_64_PC32:
      return byte(1) == 0xe8 || byte(1) == 0xe9 ||
             (byte(2) == 0x0f && (byte(1) & 0xf0U) == 0x80);
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
      return byte(2) == 0xff && (byte(1) == 0x15 || byte(1) == 0x25);
    default:
      return false;
  }
}

std::vector<std::uint64_t> OwnAddressesIn(const Unit& function,
                                          const Section& section) {
  std::vector<std::uint64_t> fields;
  if (section.index != function.main().index) return fields;
  const absl::string_view code = section.bytes;
  for (std::uint64_t at = 3; at + 4 <= code.size(); ++at) {
    const auto byte = [&](std::uint64_t i) {
      return static_cast<unsigned char>(code[i]);
    };
    const bool is_lea = byte(at - 2) == 0x8d && (byte(at - 1) & 0xc7) == 5 &&
                        (byte(at - 3) & 0xfb) == 0x48;
    const std::int64_t end = static_cast<std::int64_t>(at) + 4;
    if (!is_lea || *ReadAt<std::int32_t>(code, at) !=
                       static_cast<std::int64_t>(function.entry) - end) {
      continue;
    }
    const bool has_relocation = std::any_of(
        section.relocations.begin(), section.relocations.end(),
        [&](const Relocation& relocation) { return relocation.offset == at; });
    if (!has_relocation) fields.push_back(at);
  }
  return fields;
}

absl::StatusOr<std::unique_ptr<Object>> Object::Read(const std::string& path,
                                                     const std::string& name) {
  INSTAR_ASSIGN_OR_RETURN(ElfFile elf, ElfFile::Read(path));
  if (!elf.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name,
        " is no relocatable object, which is what a compiler makes by -c"));
  }
  auto object = std::unique_ptr<Object>(new Object(std::move(elf), name));
  INSTAR_RETURN_IF_ERROR(object->MakeUnits());
  for (const Section& section : object->elf_.sections()) {
    if (section.name == ".eh_frame") {
      INSTAR_RETURN_IF_ERROR(object->ReadFrames(section));
    }
  }
  return object;
}

void Object::AddUnit(std::unique_ptr<Unit> unit) {
  for (const Section* part : unit->parts) unit_of_[part->index] = unit.get();
  units_.push_back(std::move(unit));
}

absl::Status Object::MakeUnits() {
  for (const Section& section : elf_.sections()) {
    if (absl::StartsWith(section.name, ".gnu.lto_") ||
        absl::StartsWith(section.name, ".llvm.lto")) {
      return absl::InvalidArgumentError(absl::StrCat(
          name_,
          " holds no final machine code: compile both builds with -fno-lto"));
    }
  }
  unit_of_.resize(elf_.sections().size());
  std::vector<std::vector<const Symbol*>> symbols_in(elf_.sections().size());
  for (const Symbol& symbol : elf_.symbols()) {
    if (symbol.type == STT_FILE) {
      source_ = std::string(symbol.name);
    } else if (symbol.section == kCommon) {
      return absl::InvalidArgumentError(absl::StrCat(
          name_, ": ", symbol.name,
          " is a common symbol, which may be another object's, too: compile "
          "with -fno-common"));
    } else if (symbol.section < symbols_in.size() && symbol.section != 0 &&
               symbol.type != STT_SECTION && !symbol.name.empty()) {
      symbols_in[symbol.section].push_back(&symbol);
    }
  }
  absl::flat_hash_map<absl::string_view, Unit*> functions;
  struct Cold {
    absl::string_view parent;
    const Section* section;
    std::vector<const Symbol*> symbols;
  };
  std::vector<Cold> cold_parts;
  for (const Section& section : elf_.sections()) {
    if (!section.Has(SHF_ALLOC) || section.size == 0 ||
        IsAboutOthers(section)) {
      continue;
    }
    std::vector<const Symbol*> named;
    for (const Symbol* symbol : symbols_in[section.index]) {
      if (IsMadeUp(symbol->name)) continue;
      if (section.Has(SHF_EXECINSTR) && symbol->type != STT_FUNC &&
          symbol->type != STT_GNU_IFUNC && symbol->type != STT_NOTYPE) {
        continue;
      }
      named.push_back(symbol);
    }
    auto unit = std::make_unique<Unit>();
    unit->object = this;
    unit->parts.push_back(&section);
    unit->symbols = named;
    if (section.Has(SHF_EXECINSTR)) {
      unit->kind = UnitKind::kFunction;
      if (named.empty()) {
        unit->name = std::string(section.name);
        unit->is_compound = true;
        AddUnit(std::move(unit));
        continue;
      }
      const absl::string_view first = FirstName(named)->name;
      const std::size_t cold = first.rfind(".cold");
      if (cold != absl::string_view::npos && cold != 0 &&
          WithoutNumbers(first.substr(cold)) == ".cold") {
        cold_parts.push_back({first.substr(0, cold), &section, named});
        continue;
      }
      std::vector<const Symbol*> own;
      std::copy_if(named.begin(), named.end(), std::back_inserter(own),
                   [](const Symbol* symbol) { return !IsThunk(symbol->name); });
      if (own.empty()) own = named;  // a thunk in a section of its own
      const Symbol* main_name = FirstName(own);
      unit->name = std::string(main_name->name);
      unit->entry = main_name->value;
      unit->is_compound =
          std::any_of(own.begin(), own.end(), [&](const Symbol* symbol) {
            return symbol->value != main_name->value;
          });
      for (const Symbol* symbol : own) functions[symbol->name] = unit.get();
    } else if (named.empty() || section.Has(SHF_MERGE)) {
      unit->kind = UnitKind::kAnonymous;
      unit->name = std::string(section.name);
    } else {
      unit->kind = UnitKind::kVariable;
      unit->name = std::string(FirstName(named)->name);
      unit->is_compound =
          std::any_of(named.begin(), named.end(), [&](const Symbol* symbol) {
            return symbol->value != named.front()->value;
          });
    }
    AddUnit(std::move(unit));
  }
  for (const Cold& cold : cold_parts) {
    const auto parent = functions.find(cold.parent);
    if (parent == functions.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name_, ": ", cold.section->name, " is the cold part of no function"));
    }
    Unit& unit = *parent->second;
    unit.parts.push_back(cold.section);
    unit.symbols.insert(unit.symbols.end(), cold.symbols.begin(),
                        cold.symbols.end());
    unit_of_[cold.section->index] = &unit;
  }
  GiveTablesToFunctions();
  constructors_ = FunctionsIn(".init_array");
  destructors_ = FunctionsIn(".fini_array");
  return absl::OkStatus();
}

std::vector<const Unit*> Object::FunctionsIn(absl::string_view prefix) const {
  std::set<const Unit*> functions;
  for (const Section& section : elf_.sections()) {
    if (!absl::StartsWith(section.name, prefix)) continue;
    for (const Relocation& relocation : section.relocations) {
      const Unit* unit = TargetOf(relocation);
      if (unit != nullptr && !unit->is_initializer()) functions.insert(unit);
    }
  }
  return {functions.begin(), functions.end()};
}

// A variable that refers to the inside of a function, as the labels of computed
// gotos do, is a part of that function's code.
void Object::GiveTablesToFunctions() {
  for (const auto& unit : units_) {
    if (!unit->is_variable()) continue;
    for (const Relocation& relocation : unit->main().relocations) {
      const Unit* target = TargetOf(relocation);
      if (target == nullptr || !target->is_function()) continue;
      const std::uint64_t offset = OffsetInTarget(*this, relocation);
      const std::uint32_t section = SymbolOf(relocation).section;
      const bool is_entry = std::any_of(
          target->symbols.begin(), target->symbols.end(),
          [&](const Symbol* symbol) {
            return symbol->section == section && symbol->value == offset;
          });
      if (!is_entry) unit->kind = UnitKind::kAnonymous;
    }
  }
}

// DWARF 5, 6.4.1, as the "Linux Standard Base Core Specification", 10.6, has
// it.
absl::Status Object::ReadFrames(const Section& section) {
  absl::flat_hash_map<std::uint64_t, std::size_t> common_at;
  auto relocation = section.relocations.begin();
  for (std::uint64_t at = 0; at + 4 <= section.bytes.size();) {
    const std::uint32_t length = *ReadAt<std::uint32_t>(section.bytes, at);
    if (length == 0) break;
    if (length == 0xffff'ffff || length < 8 ||
        length > section.bytes.size() - at - 4) {
      return absl::InvalidArgumentError(
          absl::StrCat(name_, " has a damaged .eh_frame"));
    }
    const std::uint64_t end = at + 4 + length;
    Frame frame;
    frame.bytes = section.bytes.substr(at, end - at);
    for (; relocation != section.relocations.end() && relocation->offset < end;
         ++relocation) {
      Relocation moved = *relocation;
      moved.offset -= at;
      frame.relocations.push_back(moved);
    }
    const std::uint32_t id = *ReadAt<std::uint32_t>(section.bytes, at + 4);
    if (id == 0) {
      common_at[at] = common_frames_.size();
      common_frames_.push_back(std::move(frame));
    } else {
      const auto common = common_at.find(at + 4 - id);
      if (common == common_at.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(name_, " has a damaged .eh_frame"));
      }
      frame.common = common->second;
      for (const Relocation& field : frame.relocations) {
        if (field.offset != 8) continue;
        Unit* unit = TargetOf(field);
        if (unit != nullptr) unit->frames.push_back(std::move(frame));
        break;
      }
    }
    at = end;
  }
  return absl::OkStatus();
}

}  // namespace differ
}  // namespace instar

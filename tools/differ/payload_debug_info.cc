// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

// Debug information of the module: that of the objects, of which only what goes
// along has addresses.

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/differ/payload.h"

namespace instar {
namespace differ {
namespace {

using generated_module::ImportKind;

constexpr absl::string_view kCopied[] = {
    ".debug_info",     ".debug_abbrev", ".debug_line",     ".debug_str",
    ".debug_line_str", ".debug_ranges", ".debug_rnglists", ".debug_loc",
    ".debug_loclists", ".debug_aranges"};

// What is compressed has other offsets than its relocations say.
bool IsCopied(const Section& section) {
  return std::find(std::begin(kCopied), std::end(kCopied), section.name) !=
             std::end(kCopied) &&
         section.group.empty() && !section.Has(SHF_COMPRESSED);
}

}  // namespace

// A reference to what stays in the program is left out: debuggers take address
// 0 for what the linker has dropped. Variables are where the program has them.
void Payload::CopyDebugInfo() {
  std::vector<const Section*> copied;
  bool is_whole = false;
  for (const Section& section : object_.elf().sections()) {
    if (!IsCopied(section)) continue;
    copied.push_back(&section);
    is_whole = is_whole || section.name == ".debug_info";
  }
  if (included_.empty() || !is_whole) return;
  for (const Section* section : copied) {
    ObjectWriter::NewSection copy;
    copy.name = std::string(section->name);
    copy.type = section->type;
    copy.flags = section->flags;
    copy.alignment = section->alignment;
    copy.entry_size = section->entry_size;
    copy.bytes = std::string(section->bytes);
    section_of_[section->index] = writer_.AddSection(std::move(copy));
  }
  for (const Section* section : copied) {
    const ObjectWriter::SectionId id = section_of_.at(section->index);
    for (const Relocation& relocation : section->relocations) {
      const Symbol& symbol = object_.SymbolOf(relocation);
      const auto target = section_of_.find(symbol.section);
      if (target != section_of_.end()) {
        writer_.AddRelocation(
            id, {relocation.offset, relocation.type,
                 writer_.SectionSymbol(target->second),
                 static_cast<std::int64_t>(symbol.value) + relocation.addend});
        continue;
      }
      const Unit* unit = object_.TargetOf(relocation);
      if (section->name != ".debug_info" || unit == nullptr ||
          relocation.type != R_X86_64_64 || !unit->is_variable() ||
          unit->is_thread_local()) {
        continue;
      }
      const std::optional<Place> place = PlaceOf(*unit);
      if (!place) continue;
      const Import import = {{place->image, place->address + symbol.value},
                             relocation.addend,
                             unit->name,
                             false};
      fields_.push_back(
          {id, relocation.offset, import, ImportKind::kDebugAddress});
    }
  }
}

}  // namespace differ
}  // namespace instar

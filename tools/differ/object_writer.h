// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Writes a relocatable object of x86-64.
//
//   ObjectWriter writer;
//   ObjectWriter::SectionId text = writer.AddSection({".text.f", ...});
//   ObjectWriter::SymbolId f = writer.AddSymbol({"f", STB_GLOBAL, ..., text});
//   writer.AddRelocation(text, {1, R_X86_64_PLT32, f, -4});
//   writer.Write("f.o");

#ifndef INSTAR_TOOLS_DIFFER_OBJECT_WRITER_H_
#define INSTAR_TOOLS_DIFFER_OBJECT_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace differ {

class ObjectWriter {
 public:
  using SectionId = std::size_t;
  using SymbolId = std::size_t;

  struct NewSection {
    std::string name;
    std::uint32_t type;
    std::uint64_t flags;
    std::uint64_t alignment = 1;
    std::uint64_t entry_size = 0;
    std::string bytes;
    std::uint64_t size_without_bytes = 0;  // of SHT_NOBITS
  };
  struct NewSymbol {
    std::string name;
    std::uint8_t binding;
    std::uint8_t type;
    std::uint8_t visibility = 0;
    std::optional<SectionId> section;  // none: undefined, or `is_absolute`
    std::uint64_t value = 0;
    std::uint64_t size = 0;
    bool is_absolute = false;
  };
  struct NewRelocation {
    std::uint64_t offset;
    std::uint32_t type;
    SymbolId symbol;
    std::int64_t addend;
  };

  // `file`: the name of the source or object, for debuggers.
  explicit ObjectWriter(const std::string& file);

  SectionId AddSection(NewSection section);
  SymbolId AddSymbol(NewSymbol symbol);
  // The symbol of the section itself.
  SymbolId SectionSymbol(SectionId section) const;
  void AddRelocation(SectionId section, NewRelocation relocation);
  // Those of the field at this offset.
  void DropRelocation(SectionId section, std::uint64_t offset);
  std::string& BytesOf(SectionId section);

  // Error: what the system says; names the file.
  absl::Status Write(const std::string& path) const;

 private:
  struct KeptSection {
    NewSection section;
    SymbolId symbol;
    std::vector<NewRelocation> relocations;
  };

  std::vector<KeptSection> sections_;
  std::vector<NewSymbol> symbols_;
};

// Appends the bytes of `value` to `out`.
template <typename T>
void Append(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// Writes the four bytes of `value` over those at `offset`.
inline void Put32(std::string& bytes, std::size_t offset, std::int32_t value) {
  bytes.replace(offset, sizeof(value), reinterpret_cast<const char*>(&value),
                sizeof(value));
}

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_OBJECT_WRITER_H_

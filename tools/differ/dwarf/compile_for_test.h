// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects that a test compiles for itself, with the compilers of the system.
//
//   const CompiledObject shop("int price;", ".c", "-g -O2");
//   ASSERT_TRUE(shop.status().ok()) << shop.status();
//   ... *shop ...

#ifndef INSTAR_TOOLS_DIFFER_DWARF_COMPILE_FOR_TEST_H_
#define INSTAR_TOOLS_DIFFER_DWARF_COMPILE_FOR_TEST_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/object_debug_info.h"
#include "tools/differ/elf_file.h"

namespace instar {
namespace differ {

// The path of the object; its source lies beside it. `suffix`: ".c" or ".cc".
// Sections are one a function and a variable.
absl::StatusOr<std::string> CompileForTest(absl::string_view source,
                                           absl::string_view suffix,
                                           absl::string_view flags);

class CompiledObject {
 public:
  CompiledObject(absl::string_view source, absl::string_view suffix,
                 absl::string_view flags);
  explicit CompiledObject(const std::string& path) { Read(path); }

  const absl::Status& status() const { return status_; }
  const ObjectDebugInfo& operator*() const { return *information_; }
  const ObjectDebugInfo* operator->() const { return information_.get(); }
  const ElfFile& file() const { return *file_; }

  // The index of the section of this name; 0: none.
  std::uint32_t SectionOf(absl::string_view name) const;

 private:
  void Read(const std::string& path);

  absl::Status status_;
  std::unique_ptr<ElfFile> file_;
  std::unique_ptr<ObjectDebugInfo> information_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_COMPILE_FOR_TEST_H_

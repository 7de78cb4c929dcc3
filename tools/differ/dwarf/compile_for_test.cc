// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/compile_for_test.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {
namespace {

std::string ContentsOf(const std::string& path) {
  std::ostringstream contents;
  contents << std::ifstream(path).rdbuf();
  return contents.str();
}

}  // namespace

absl::StatusOr<std::string> CompileForTest(absl::string_view source,
                                           absl::string_view suffix,
                                           absl::string_view flags) {
  static int number = 0;
  const char* const folder = std::getenv("TEST_TMPDIR");
  const std::string base = absl::StrCat(folder == nullptr ? "/tmp" : folder,
                                        "/compiled_", getpid(), "_", ++number);
  const std::string path = absl::StrCat(base, suffix);
  std::ofstream(path) << source;
  const bool is_c = suffix == ".c";
  const std::string command =
      absl::StrCat(is_c ? "gcc -std=gnu17" : "g++ -std=c++17",
                   " -fPIC -ffunction-sections -fdata-sections ", flags, " -c ",
                   path, " -o ", base, ".o >", base, ".log 2>&1");
  // The compilers of the system, for a fixed text of this test.
  if (std::system(command.c_str()) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(command, ":\n", ContentsOf(base + ".log")));
  }
  return base + ".o";
}

CompiledObject::CompiledObject(absl::string_view source,
                               absl::string_view suffix,
                               absl::string_view flags) {
  absl::StatusOr<std::string> path = CompileForTest(source, suffix, flags);
  if (!path.ok()) {
    status_ = path.status();
    return;
  }
  Read(*path);
}

void CompiledObject::Read(const std::string& path) {
  absl::StatusOr<ElfFile> file = ElfFile::Read(path);
  if (!file.ok()) {
    status_ = file.status();
    return;
  }
  file_ = std::make_unique<ElfFile>(*std::move(file));
  auto information = ObjectDebugInfo::Read(*file_);
  status_ = information.status();
  if (information.ok()) information_ = *std::move(information);
}

std::uint32_t CompiledObject::SectionOf(absl::string_view name) const {
  const Section* const section = file_->FindSection(name);
  return section == nullptr ? 0 : section->index;
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The debug information of a large program is read, and costs little memory. An
// object is loaded whose file was blown up: the debug information of a small
// one, many times, as that of other units.

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/string_view.h"
#include "code/function.h"
#include "code/inlined_copies.h"
#include "code/loaded_images.h"
#include "code/symbol_table.h"
#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

constexpr char kObject[] = "code/libpatchable_entries_test_object.so";
constexpr size_t kSize = size_t{300} << 20;
constexpr rlim_t kBudget = rlim_t{64} << 20;

std::string Contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in),
                     std::istreambuf_iterator<char>());
}

// A copy of the object whose .debug_info has its units again and again, behind
// all else in the file.
void MakeLarge(const std::string& path) {
  std::string file = Contents(kObject);
  ASSERT_FALSE(file.empty());
  Elf64_Ehdr header;
  std::memcpy(&header, file.data(), sizeof(header));
  const auto section_at = [&](size_t i) {
    Elf64_Shdr section;
    std::memcpy(&section, &file[header.e_shoff + i * sizeof(section)],
                sizeof(section));
    return section;
  };
  const Elf64_Shdr names = section_at(header.e_shstrndx);
  for (size_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section = section_at(i);
    if (std::strcmp(&file[names.sh_offset + section.sh_name], ".debug_info") !=
        0) {
      continue;
    }
    const std::string units = file.substr(section.sh_offset, section.sh_size);
    ASSERT_FALSE(units.empty());
    section.sh_offset = (file.size() + 15) / 16 * 16;
    const size_t times = kSize / units.size();
    section.sh_size = times * units.size();
    std::memcpy(&file[header.e_shoff + i * sizeof(section)], &section,
                sizeof(section));
    file.resize(section.sh_offset);
    std::ofstream out(path, std::ios::binary);
    out << file;
    for (size_t n = 0; n < times; ++n) out << units;
    ASSERT_TRUE(out.good());
    return;
  }
  FAIL() << kObject << " has no debug information";
}

// The private memory of the process that can be written, in bytes.
rlim_t DataSize() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmData:", 0) == 0) return std::stoul(line.substr(7)) << 10;
  }
  return 0;
}

// Keeps the process from getting more memory than this for a while.
class Budget {
 public:
  explicit Budget(rlim_t bytes) {
    getrlimit(RLIMIT_DATA, &before_);
    const rlimit limit = {DataSize() + bytes, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
  }
  ~Budget() { setrlimit(RLIMIT_DATA, &before_); }

 private:
  rlimit before_{};
};

const SymbolTable& TableOf(absl::string_view name) {
  const auto images = LoadedImages::Current();
  for (const LoadedImage& image : images->images()) {
    if (image.name == name) return *image.symbols;
  }
  ADD_FAILURE() << name << " is not loaded";
  return *images->images()[0].symbols;
}

class LargeDebugInformationTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/large.so";
    ASSERT_NO_FATAL_FAILURE(MakeLarge(path_));
    malloc_trim(0);
  }
  void TearDown() override { unlink(path_.c_str()); }

  void Load() {
    object_ = dlopen(path_.c_str(), RTLD_NOW);
    ASSERT_NE(object_, nullptr) << dlerror();
  }

  std::string path_;
  void* object_ = nullptr;
};

TEST_F(LargeDebugInformationTest, IsReadWithinABudget) {
  LoadedImages::Current();
  ASSERT_NO_FATAL_FAILURE(Load());
  const Budget budget(kBudget);
  const SymbolTable& symbols = TableOf(path_);
  EXPECT_EQ(symbols.unreadable_because(), "");
  const InlinedCopyTable& copies = InlinedCopyTable::Of(symbols);
  EXPECT_EQ(copies.missing_because(), "");
  const auto entry = reinterpret_cast<uintptr_t>(
      dlsym(object_, "instar_test_loaded_function"));
  const auto function = Function::AtEntry(entry);
  ASSERT_TRUE(function.ok()) << function.status();
  EXPECT_TRUE(copies.Describes(entry - function->load_base()));
  EXPECT_TRUE(copies.undescribed().empty());
}

// Whoever cannot have what it takes is told so.
TEST_F(LargeDebugInformationTest, NoMemoryIsAnError) {
  LoadedImages::Current();
  ASSERT_NO_FATAL_FAILURE(Load());
  const SymbolTable& symbols = TableOf(path_);
  const Budget budget(0);
  // Neither ends the program.
  const InlinedCopyTable& copies = InlinedCopyTable::Of(symbols);
  (void)copies;
  PreloadInlinedCopies();
}

}  // namespace
}  // namespace code_internal
}  // namespace instar

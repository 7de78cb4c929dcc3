// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The debug information of a large program is read, and costs little memory. An
// object is loaded whose file was blown up: the debug information of a small
// one, many times, as that of other units; or it got many names.
//
// MEBIBYTES (BUILD) is how large the debug information is.

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/testing/file_contents.h"
#include "code/symbols/function.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/name_index.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/inlining/inlined_copies.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

using ::testing::HasSubstr;

constexpr char kObject[] = "code/libpatchable_entries_test_object.so";
constexpr size_t kSize = size_t{MEBIBYTES} << 20;
constexpr rlim_t kBudget = rlim_t{64} << 20;

// An ELF file of 64 bits whose sections can be replaced.
class Object {
 public:
  explicit Object(const std::string& path) : file_(FileContents(path)) {
    if (file_.size() < sizeof(header_)) return;
    std::memcpy(&header_, file_.data(), sizeof(header_));
  }

  // The first section of that name, or the number of sections.
  size_t Find(absl::string_view name) const {
    const Elf64_Shdr names = Section(header_.e_shstrndx);
    size_t i = 0;
    while (i < header_.e_shnum &&
           &file_[names.sh_offset + Section(i).sh_name] != name) {
      ++i;
    }
    return i;
  }

  Elf64_Shdr Section(size_t i) const {
    Elf64_Shdr section;
    std::memcpy(&section, &file_[header_.e_shoff + i * sizeof(section)],
                sizeof(section));
    return section;
  }
  void SetSection(size_t i, const Elf64_Shdr& section) {
    std::memcpy(&file_[header_.e_shoff + i * sizeof(section)], &section,
                sizeof(section));
  }

  std::string ContentsOf(size_t i) const {
    return file_.substr(Section(i).sh_offset, Section(i).sh_size);
  }

  // Where something of this alignment is appended.
  size_t End() {
    file_.resize((file_.size() + 15) / 16 * 16);
    return file_.size();
  }
  void Append(absl::string_view bytes) {
    file_.append(bytes.data(), bytes.size());
  }

  size_t section_count() const { return header_.e_shnum; }
  const std::string& bytes() const { return file_; }

 private:
  std::string file_;
  Elf64_Ehdr header_{};
};

// A copy of the object whose .debug_info has its units again and again, behind
// all else in the file.
void MakeLarge(const std::string& path) {
  Object object(kObject);
  const size_t i = object.Find(".debug_info");
  ASSERT_LT(i, object.section_count()) << kObject << " has no such section";
  const std::string units = object.ContentsOf(i);
  ASSERT_FALSE(units.empty());
  Elf64_Shdr section = object.Section(i);
  section.sh_offset = object.End();
  const size_t times = kSize / units.size();
  section.sh_size = times * units.size();
  object.SetSection(i, section);
  std::ofstream out(path, std::ios::binary);
  out << object.bytes();
  for (size_t n = 0; n < times; ++n) out << units;
  ASSERT_TRUE(out.good());
}

// A copy of the object that has this many symbols in place of its own:
// shop::Handler0(), shop::Handler1(), and so on.
void MakeManyNames(const std::string& path, size_t count) {
  Object object(kObject);
  const size_t i = object.Find(".symtab");
  ASSERT_LT(i, object.section_count()) << kObject << " has no such section";
  std::vector<Elf64_Sym> symbols(1);
  std::string names(1, '\0');
  for (size_t n = 0; n < count; ++n) {
    Elf64_Sym symbol{};
    symbol.st_name = static_cast<Elf64_Word>(names.size());
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbol.st_shndx = 1;
    symbol.st_value = (size_t{1} << 32) + 16 * n;
    symbol.st_size = 16;
    symbols.push_back(symbol);
    const std::string last = absl::StrCat("Handler", n);
    absl::StrAppend(&names, "_ZN4shop", last.size(), last, "Ev");
    names.push_back('\0');
  }
  Elf64_Shdr section = object.Section(i);
  const size_t of_names = section.sh_link;
  section.sh_offset = object.End();
  section.sh_size = symbols.size() * sizeof(Elf64_Sym);
  section.sh_info = 1;
  object.SetSection(i, section);
  object.Append({reinterpret_cast<const char*>(symbols.data()),
                 symbols.size() * sizeof(Elf64_Sym)});
  section = object.Section(of_names);
  section.sh_offset = object.End();
  section.sh_size = names.size();
  object.SetSection(of_names, section);
  object.Append(names);
  std::ofstream out(path, std::ios::binary);
  out << object.bytes();
  ASSERT_TRUE(out.good());
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

// Takes what the heap still has, in pieces that are too small to hold a parsed
// unit.
class FullHeap {
 public:
  FullHeap() {
    for (size_t size = size_t{1} << 20; size >= kPiece; size /= 2) {
      while (void* const piece = std::malloc(size)) {
        *static_cast<void**>(piece) = std::exchange(pieces_, piece);
      }
    }
  }
  ~FullHeap() {
    while (pieces_ != nullptr) {
      std::free(std::exchange(pieces_, *static_cast<void**>(pieces_)));
    }
  }

 private:
  static constexpr size_t kPiece = size_t{16} << 10;
  void* pieces_ = nullptr;
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
    // Each its own: what has been read of a file is kept.
    path_ = absl::StrCat(
        testing::TempDir(), "/",
        testing::UnitTest::GetInstance()->current_test_info()->name(), ".so");
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

// Whoever cannot have what it takes is told so, and the program goes on.
TEST_F(LargeDebugInformationTest, NoMemoryIsAnError) {
  LoadedImages::Current();
  ASSERT_NO_FATAL_FAILURE(Load());
  const SymbolTable& symbols = TableOf(path_);
  const auto function = Function::AtEntry(reinterpret_cast<uintptr_t>(
      dlsym(object_, "instar_test_loaded_function")));
  ASSERT_TRUE(function.ok()) << function.status();
  absl::Status copies;
  std::string missing_because;
  {
    const Budget budget(0);
    const FullHeap full;
    missing_because = InlinedCopyTable::Of(symbols).missing_because();
    PreloadInlinedCopies();
    copies = function->InlinedCopies().status();
  }
  EXPECT_THAT(missing_because, HasSubstr("no memory"));
  // With a message where there is memory for one.
  EXPECT_FALSE(copies.ok());
  const absl::Status later = function->InlinedCopies().status();
  EXPECT_EQ(later.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(later.message()), HasSubstr("no memory"));
}

class ManyNamesTest : public testing::Test {
 protected:
  ~ManyNamesTest() override { unlink(path_.c_str()); }

  const SymbolTable& Load() {
    if (dlopen(path_.c_str(), RTLD_NOW) == nullptr) ADD_FAILURE() << dlerror();
    return TableOf(path_);
  }

  static std::string Find(size_t i) {
    const auto found = Function::Named(absl::StrCat("shop::Handler", i));
    return found.ok() ? found->name() : std::string(found.status().message());
  }

  const std::string path_ = absl::StrCat(
      testing::TempDir(), "/",
      testing::UnitTest::GetInstance()->current_test_info()->name(), ".so");
};

TEST_F(ManyNamesTest, AreIndexedWithinABudget) {
  constexpr size_t kNames = 100'000;
  LoadedImages::Current();
  MakeManyNames(path_, kNames);
  malloc_trim(0);
  const Budget budget(kBudget);
  const SymbolTable& symbols = Load();
  EXPECT_EQ(Find(kNames - 1), absl::StrCat("shop::Handler", kNames - 1, "()"));
  EXPECT_LE(NameIndex::Of(symbols).bytes(), 16 * (kNames + 200));
}

TEST_F(ManyNamesTest, AboveABoundAreFoundWithoutAnIndex) {
  constexpr size_t kNames = NameIndex::kMostNames + 1;
  LoadedImages::Current();
  MakeManyNames(path_, kNames);
  malloc_trim(0);
  const Budget budget(kBudget);
  const SymbolTable& symbols = Load();
  EXPECT_EQ(symbols.unreadable_because(), "");
  EXPECT_EQ(Find(1234567 % kNames),
            absl::StrCat("shop::Handler", 1234567 % kNames, "()"));
  EXPECT_EQ(NameIndex::Of(symbols).bytes(), 0u);
  EXPECT_THAT(Find(kNames), HasSubstr("no function"));
}

}  // namespace
}  // namespace code_internal
}  // namespace instar

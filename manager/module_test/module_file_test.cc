// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/file_contents.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/module/generated_binding.h"
#include "manager/module/generated_module.h"
#include "manager/module/generated_tables.h"
#include "manager/module/moved_image.h"
#include "manager/module_test/built_modules.h"

namespace instar {
namespace {

using absl::StatusCode;
using testing::Contains;
using testing::HasSubstr;

// As gMock prints it best.
std::vector<std::string> UndefinedSymbols(const ModuleFile& file) {
  const std::vector<absl::string_view> symbols = file.UndefinedSymbols();
  return std::vector<std::string>(symbols.begin(), symbols.end());
}

class ModuleFileTest : public testing::Test {
 protected:
  // In a folder of its own that every user may enter.
  void SetUp() override {
    folder_ = "/tmp/module_file_test.XXXXXX";
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
    path_ = folder_ + "/module.so";
  }
  void TearDown() override {
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }

  // Makes the file at path_ have these contents.
  void Write(const std::string& contents) {
    unlink(path_.c_str());
    const int file = open(path_.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
    ASSERT_GE(file, 0);
    ASSERT_EQ(write(file, contents.data(), contents.size()),
              static_cast<ssize_t>(contents.size()));
    close(file);
  }

  // That ReadModuleFile(path) answers this; returns the message.
  static std::string Refusal(const std::string& path, StatusCode code) {
    const absl::StatusOr<ModuleFile> file = ReadModuleFile(path);
    EXPECT_EQ(file.status().code(), code) << file.status();
    EXPECT_TRUE(file.ok() || absl::StrContains(file.status().message(), path))
        << file.status();
    return std::string(file.status().message());
  }

  void Damage(const std::string& contents, std::size_t size);

  std::string folder_;
  std::string path_;
};

TEST_F(ModuleFileTest, SaysWhatTheModuleIs) {
  const absl::StatusOr<ModuleFile> file = ReadModuleFile(Built("ratings.so"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->path(), Built("ratings.so"));
  EXPECT_EQ(file->update_name(), "ratings");
  EXPECT_EQ(file->kind(), ModuleKind::kPlan);
  EXPECT_EQ(file->program_name(), "scenario");
  EXPECT_EQ(file->program_build_id().size(), 40u);
  EXPECT_TRUE(file->required_modules().empty());
  EXPECT_THAT(file->soname(),
              testing::MatchesRegex("ratings[.][0-9a-f]+[.]so"));
  EXPECT_THAT(UndefinedSymbols(*file), Contains("_ZN4shop3LogB5cxx11Ev"));
  EXPECT_THAT(UndefinedSymbols(*file),
              testing::Not(Contains(HasSubstr("Rating"))));
  EXPECT_GT(file->code_size(), 100u);
  EXPECT_GT(file->loaded_size(), file->code_size());
}

TEST_F(ModuleFileTest, SaysWhatTheModuleRequires) {
  const absl::StatusOr<ModuleFile> ratings =
      ReadModuleFile(Built("ratings.so"));
  const absl::StatusOr<ModuleFile> stars = ReadModuleFile(Built("stars.so"));
  ASSERT_TRUE(ratings.ok() && stars.ok()) << stars.status();
  EXPECT_EQ(stars->kind(), ModuleKind::kThreadUpdates);
  ASSERT_EQ(stars->required_modules().size(), 1u);
  EXPECT_EQ(stars->required_modules()[0].update_name, "ratings");
  EXPECT_EQ(stars->required_modules()[0].soname, ratings->soname());
  EXPECT_THAT(UndefinedSymbols(*stars), Contains("_ZTIN4shop6RatingE"));
}

TEST_F(ModuleFileTest, TwoBuildsDifferInTheirSoname) {
  const absl::StatusOr<ModuleFile> one = ReadModuleFile(Built("ratings.so"));
  const absl::StatusOr<ModuleFile> other =
      ReadModuleFile(Built("ratings_rebuilt.so"));
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->update_name(), other->update_name());
  EXPECT_NE(one->soname(), other->soname());
}

TEST_F(ModuleFileTest, AStrippedModuleSaysTheSame) {
  const absl::StatusOr<ModuleFile> file =
      ReadModuleFile(Built("stars_stripped.so"));
  const absl::StatusOr<ModuleFile> whole = ReadModuleFile(Built("stars.so"));
  ASSERT_TRUE(file.ok() && whole.ok()) << file.status();
  EXPECT_EQ(file->update_name(), whole->update_name());
  EXPECT_EQ(file->program_build_id(), whole->program_build_id());
  EXPECT_EQ(file->soname(), whole->soname());
  EXPECT_EQ(UndefinedSymbols(*file), UndefinedSymbols(*whole));
}

TEST_F(ModuleFileTest, RefusesWhatIsNotThere) {
  EXPECT_THAT(Refusal(path_, StatusCode::kNotFound), HasSubstr("No such file"));
}

TEST_F(ModuleFileTest, RefusesWhatIsNoFile) {
  EXPECT_THAT(Refusal(testing::TempDir(), StatusCode::kInvalidArgument),
              HasSubstr("not a file"));
  Refusal("/dev/zero", StatusCode::kInvalidArgument);
  // Nobody will ever write to this pipe.
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  Refusal(path_, StatusCode::kInvalidArgument);
}

TEST_F(ModuleFileTest, RefusesWhatIsNoModule) {
  Write("");
  EXPECT_THAT(Refusal(path_, StatusCode::kInvalidArgument),
              HasSubstr("not an ELF shared object for "));
  Write("#!/bin/sh\necho this is long enough for the header of an ELF file\n");
  Refusal(path_, StatusCode::kInvalidArgument);
  // A program, and a shared object that is no module.
  Refusal("/proc/self/exe", StatusCode::kInvalidArgument);
  EXPECT_THAT(Refusal(Built("plain.so"), StatusCode::kInvalidArgument),
              HasSubstr("has no INSTAR_UPDATE_MODULE; put one into"));
  EXPECT_THAT(Refusal(Built("without_rule.so"), StatusCode::kInvalidArgument),
              HasSubstr("build it again with update_module"));
}

// These bytes of a file with its program headers changed.
std::string WithSegments(std::string contents,
                         absl::FunctionRef<void(Elf64_Phdr&)> change) {
  Elf64_Ehdr header;
  std::memcpy(&header, contents.data(), sizeof(header));
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    char* const at = &contents[header.e_phoff + i * sizeof(segment)];
    std::memcpy(&segment, at, sizeof(segment));
    change(segment);
    std::memcpy(at, &segment, sizeof(segment));
  }
  return contents;
}

TEST_F(ModuleFileTest, RefusesWhatIsOfAnotherProcessor) {
  std::string contents = FileContents(Built("ratings.so"));
  Elf64_Ehdr header;
  std::memcpy(&header, contents.data(), sizeof(header));
  header.e_machine = EM_S390;
  std::memcpy(&contents[0], &header, sizeof(header));
  Write(contents);
  EXPECT_THAT(Refusal(path_, StatusCode::kInvalidArgument),
              HasSubstr("not an ELF shared object for "));
}

TEST_F(ModuleFileTest, RefusesWhatIsLinkedForSmallerPages) {
  const auto page = static_cast<Elf64_Xword>(sysconf(_SC_PAGESIZE));
  Write(
      WithSegments(FileContents(Built("ratings.so")), [&](Elf64_Phdr& segment) {
        if (segment.p_type == PT_LOAD) segment.p_align = page / 2;
      }));
  EXPECT_THAT(
      Refusal(path_, StatusCode::kInvalidArgument),
      HasSubstr(absl::StrCat("linked for pages of ", page / 2, " bytes")));
}

// What a module has to say of stacks, in its program header.
TEST_F(ModuleFileTest, RefusesWhatDoesNotSayThatStacksAreNotExecutable) {
  const auto refusal_of = [&](void (*change)(Elf64_Phdr&)) {
    Write(WithSegments(FileContents(Built("ratings.so")),
                       [&](Elf64_Phdr& segment) {
                         if (segment.p_type == PT_GNU_STACK) change(segment);
                       }));
    return Refusal(path_, StatusCode::kInvalidArgument);
  };
  EXPECT_THAT(refusal_of([](Elf64_Phdr& stack) { stack.p_flags |= PF_X; }),
              HasSubstr(".note.GNU-stack"));
  EXPECT_THAT(refusal_of([](Elf64_Phdr& stack) { stack.p_type = PT_NULL; }),
              HasSubstr("stacks executable"));
}

TEST_F(ModuleFileTest, RefusesWhatWasLinkedAndNotChecked) {
  EXPECT_THAT(
      Refusal(Built("ratings_linked.so"), StatusCode::kInvalidArgument),
      HasSubstr("not checked; load the module that update_module makes of it"));
}

TEST_F(ModuleFileTest, RefusesWhatOthersMayWrite) {
  Write(FileContents(Built("ratings.so")));
  EXPECT_TRUE(ReadModuleFile(path_).ok());
  for (const mode_t mode : {0620, 0602, 0666}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    EXPECT_THAT(Refusal(path_, StatusCode::kPermissionDenied),
                HasSubstr(absl::StrCat("chmod go-w ", path_)));
  }
  ASSERT_EQ(chmod(path_.c_str(), 0555), 0);
  EXPECT_TRUE(ReadModuleFile(path_).ok());
}

TEST_F(ModuleFileTest, RefusesWhatIsSomebodyElses) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  constexpr uid_t kNobody = 65534;
  constexpr uid_t kSomebody = 65533;
  Write(FileContents(Built("ratings.so")));
  ASSERT_EQ(chmod(path_.c_str(), 0644), 0);
  ASSERT_EQ(chown(path_.c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(Refusal(path_, StatusCode::kPermissionDenied),
              HasSubstr("belongs to user 65534"));

  // As nobody: one's own and root's, but not somebody's.
  ASSERT_EQ(seteuid(kNobody), 0);
  const absl::StatusOr<ModuleFile> own = ReadModuleFile(path_);
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(chown(path_.c_str(), 0, 0), 0);
  ASSERT_EQ(seteuid(kNobody), 0);
  const absl::StatusOr<ModuleFile> roots = ReadModuleFile(path_);
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(chown(path_.c_str(), kSomebody, kSomebody), 0);
  ASSERT_EQ(seteuid(kNobody), 0);
  const absl::StatusOr<ModuleFile> somebodys = ReadModuleFile(path_);
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  ASSERT_EQ(seteuid(kNobody), 0);
  const absl::StatusOr<ModuleFile> unreadable = ReadModuleFile(path_);
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_TRUE(own.ok()) << own.status();
  EXPECT_TRUE(roots.ok()) << roots.status();
  EXPECT_EQ(somebodys.status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(unreadable.status().code(), StatusCode::kPermissionDenied);
}

// Reads everything that a file says; an accepted one must not lead us astray.
void UseAll(const std::string& path) {
  const absl::StatusOr<ModuleFile> file = ReadModuleFile(path);
  if (!file.ok()) {
    EXPECT_EQ(file.status().code(), StatusCode::kInvalidArgument);
    return;
  }
  std::size_t sum = file->soname().size() + file->code_size();
  for (const absl::string_view name : file->UndefinedSymbols()) {
    for (const char c : name) sum += static_cast<unsigned char>(c);
  }
  for (const RequiredModule& required : file->required_modules()) {
    sum += required.soname.size() + required.update_name.size();
  }
  EXPECT_GT(sum, 0u);
  const manager_internal::GeneratedTables* const tables = file->tables();
  if (tables == nullptr) return;
  constexpr std::uintptr_t kAt = std::uintptr_t{1} << 44;
  const std::vector<manager_internal::BoundImage> images(
      tables->images().size(), {"", 0, kAt, {kAt, 2 * kAt}, {}});
  for (const auto& redefinition : tables->redefinitions()) {
    EXPECT_FALSE(tables->NameAt(redefinition.name).empty());
  }
  absl::StatusOr<std::string> bytes = manager_internal::BindImports(
      file->image(), *tables, images, kAt + 0x10000);
  if (bytes.ok()) MoveTo(file->image(), kAt + 0x10000, *bytes);
}

TEST_F(ModuleFileTest, EveryTruncationIsHarmless) {
  const std::string contents = FileContents(Built("stars.so"));
  const absl::StatusOr<ModuleFile> whole = ReadModuleFile(Built("stars.so"));
  ASSERT_TRUE(whole.ok());
  Write(contents);
  // What lies behind the segments is not needed.
  for (std::size_t size = contents.size(); size-- > 0;) {
    ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(size)), 0);
    const absl::StatusOr<ModuleFile> file = ReadModuleFile(path_);
    ASSERT_EQ(file.ok(), size >= whole->loaded_size()) << size;
    if (size >= 64 && !file.ok()) {
      ASSERT_THAT(std::string(file.status().message()),
                  HasSubstr("truncated or damaged"));
    }
  }
}

// Damages the module at path_ in its first bytes, up to `size`.
void ModuleFileTest::Damage(const std::string& contents, std::size_t size) {
  Write(contents);
  const int file = open(path_.c_str(), O_WRONLY);
  ASSERT_GE(file, 0);
  const auto with = [&](std::size_t at, const void* bytes, std::size_t count) {
    ASSERT_EQ(pwrite(file, bytes, count, at), static_cast<ssize_t>(count));
    UseAll(path_);
    ASSERT_EQ(pwrite(file, &contents[at], count, at),
              static_cast<ssize_t>(count));
  };
  std::mt19937 random(1);
  for (std::size_t at = 0; at < size; ++at) {
    const char flipped = static_cast<char>(contents[at] ^ (1 << random() % 8));
    with(at, &flipped, 1);
  }
  const std::uint64_t extremes[] = {
      0,
      1,
      0x7fffffff,
      0xffffffff,
      1ull << 32,
      1ull << 63,
      std::numeric_limits<std::uint64_t>::max(),
      std::numeric_limits<std::uint64_t>::max() - 4095};
  for (std::size_t at = 0; at + 8 <= size; at += 4) {
    for (const std::uint64_t value : extremes) with(at, &value, 8);
  }
  // Several at once, most of them where the headers and tables are.
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = contents.substr(0, size);
    for (int j = 0; j < 4; ++j) {
      damaged[random() % (j == 0 ? damaged.size() : 0x800)] =
          static_cast<char>(random());
    }
    ASSERT_EQ(pwrite(file, damaged.data(), damaged.size(), 0),
              static_cast<ssize_t>(damaged.size()));
    UseAll(path_);
  }
  close(file);
}

TEST_F(ModuleFileTest, DamagedFilesAreHarmless) {
  const absl::StatusOr<ModuleFile> whole = ReadModuleFile(Built("stars.so"));
  ASSERT_TRUE(whole.ok());
  Damage(FileContents(Built("stars.so")), whole->loaded_size());
}

// With its tables, which lie behind what is loaded, and its relocations.
TEST_F(ModuleFileTest, DamagedGeneratedModulesAreHarmless) {
  const std::string stripped = path_ + ".stripped";
  for (const char* const name : {"hundreds.so", "tens_packed.so"}) {
    const std::string built = absl::StrCat("manager/near_test/", name);
    ASSERT_EQ(
        std::system(absl::StrCat("objcopy --strip-debug ", built, " ", stripped)
                        .c_str()),
        0);
    const std::string contents = FileContents(stripped);
    Damage(contents, contents.size());
  }
  unlink(stripped.c_str());
}

TEST_F(ModuleFileTest, AGeneratedModuleIsNeededWhole) {
  const std::string built = "manager/near_test/hundreds.so";
  const std::string contents = FileContents(built);
  const absl::StatusOr<ModuleFile> whole = ReadModuleFile(built);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->kind(), ModuleKind::kGenerated);
  EXPECT_EQ(whole->update_name(), "hundreds");
  ASSERT_NE(whole->tables(), nullptr);
  EXPECT_EQ(whole->tables()->images().size(), 2u);
  EXPECT_EQ(whole->tables()->images()[1].name, "tens.so");
  EXPECT_GE(whole->tables()->imports().size(), 3u);
  EXPECT_EQ(whole->tables()->redefinitions().size(), 2u);
  EXPECT_LT(whole->loaded_size(), contents.size());
  Write(contents);
  for (std::size_t size = contents.size(); size-- > 0;) {
    ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(size)), 0);
    ASSERT_FALSE(ReadModuleFile(path_).ok()) << size;
  }
}

TEST_F(ModuleFileTest, SaysWhatIsWrongWithTheTables) {
  using generated_module::Import;
  using generated_module::ImportKind;
  using generated_module::Redefinition;
  const std::string built = "manager/near_test/hundreds.so";
  const absl::StatusOr<ModuleFile> whole = ReadModuleFile(built);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto with = [&](const char* section, auto row, const auto& change) {
    std::string contents = FileContents(built);
    const auto found = whole->image().FindSection(section);
    std::memcpy(&row, &contents[found->offset], sizeof(row));
    change(row);
    std::memcpy(&contents[found->offset], &row, sizeof(row));
    Write(contents);
    return Refusal(path_, StatusCode::kInvalidArgument);
  };
  const auto import = [&](const auto& change) {
    return with(generated_module::kImportsSection, Import(), change);
  };
  const auto redefinition = [&](const auto& change) {
    return with(generated_module::kRedefinitionsSection, Redefinition(),
                change);
  };
  EXPECT_THAT(import([](Import& i) { i.name = 1 << 20; }),
              HasSubstr("a name in .instar.imports"));
  EXPECT_THAT(import([](Import& i) { i.image = 2; }), HasSubstr("its image"));
  EXPECT_THAT(import([](Import& i) { i.target = ~0ull; }),
              HasSubstr("its target"));
  EXPECT_THAT(import([](Import& i) { i.place = 1 << 24; }),
              HasSubstr("its place is not loaded from the file"));
  EXPECT_THAT(import([](Import& i) { i.place = 0; }),
              HasSubstr("the dynamic linker's"));
  EXPECT_THAT(import([](Import& i) { i.kind = static_cast<ImportKind>(9); }),
              HasSubstr("its kind is unknown"));
  EXPECT_THAT(import([&](Import& i) {
                i.place = whole->tables()->imports()[1].place + 1;
              }),
              HasSubstr("two imports have one place"));
  EXPECT_THAT(redefinition([](Redefinition& r) { r.new_entry = 1 << 24; }),
              HasSubstr("its new entry is no code"));
  EXPECT_THAT(redefinition([](Redefinition& r) { r.flags = 4; }),
              HasSubstr("its flags"));
  EXPECT_THAT(redefinition([](Redefinition& r) { r.flags = 2; }),
              HasSubstr("its new entry"));
  EXPECT_THAT(redefinition([&](Redefinition& r) {
                r = whole->tables()->redefinitions()[1];
              }),
              HasSubstr("a function is redefined twice"));
}

TEST_F(ModuleFileTest, WhatWasReadStaysWhenTheFileChanges) {
  Write(FileContents(Built("stars.so")));
  const absl::StatusOr<ModuleFile> file = ReadModuleFile(path_);
  ASSERT_TRUE(file.ok());
  const std::vector<std::string> before = UndefinedSymbols(*file);
  ASSERT_EQ(truncate(path_.c_str(), 10), 0);
  const ModuleFile copy = *file;
  EXPECT_EQ(before, UndefinedSymbols(copy));
  EXPECT_EQ(copy.update_name(), "stars");
}

}  // namespace
}  // namespace instar

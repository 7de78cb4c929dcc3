// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that loads modules which were built for it.

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/file_contents.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module_test/shop.h"

namespace instar {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Built(const char* name) {
  return absl::StrCat("manager/module_test/", name, ".so");
}

absl::StatusOr<LoadedModule> Load(const std::string& path) {
  const absl::StatusOr<ModuleFile> file = ReadModuleFile(path);
  if (!file.ok()) return file.status();
  return LoadModule(*file);
}

// Calls the update's function with what is no plan: those of the tests do not
// look at it.
absl::Status Call(const LoadedModule& module) {
  alignas(64) static char nothing[64];
  const UpdateModuleEntry& entry = module.entry();
  if (entry.plan != nullptr) {
    return entry.plan(reinterpret_cast<UpdatePlan&>(nothing));
  }
  return entry.thread_updates(reinterpret_cast<ThreadUpdates&>(nothing));
}

int CountOpenFiles() {
  DIR* const folder = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

std::vector<std::string> LoadedObjects() {
  std::vector<std::string> names;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        static_cast<std::vector<std::string>*>(result)->push_back(
            info->dlpi_name);
        return 0;
      },
      &names);
  return names;
}

void WriteAll(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
}

// What a module did is in shop::Log(). After each test as many files are open
// as before, and the same objects are loaded, but for those of `kept_`.
class ModuleLoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    shop::Log().clear();
    path_ = absl::StrCat(testing::TempDir(), "/loader_", getpid(), ".so");
    // The first one reads what is cached.
    ASSERT_TRUE(Load(Built("ratings")).ok());
    shop::Log().clear();
    files_ = CountOpenFiles();
    objects_ = LoadedObjects();
  }
  void TearDown() override {
    unlink(path_.c_str());
    EXPECT_EQ(CountOpenFiles(), files_);
    EXPECT_EQ(LoadedObjects().size(), objects_.size() + kept_);
  }

  // Not found: the message of a refusal has all that.
  std::string Refusal(const std::string& path, StatusCode code) {
    const absl::StatusOr<LoadedModule> module = Load(path);
    EXPECT_EQ(module.status().code(), code) << module.status();
    EXPECT_THAT(std::string(module.status().message()), HasSubstr(path));
    return std::string(module.status().message());
  }

  std::string path_;
  int kept_ = 0;

 private:
  int files_ = 0;
  std::vector<std::string> objects_;
};

TEST_F(ModuleLoaderTest, LoadsAndUnloads) {
  {
    const absl::StatusOr<LoadedModule> module = Load(Built("ratings"));
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_EQ(module->file().update_name(), "ratings");
    EXPECT_STREQ(module->entry().name, "ratings");
    EXPECT_FALSE(module->is_kept());
    EXPECT_THAT(shop::Log(), ElementsAre("ratings in 5"));
    EXPECT_TRUE(Call(*module).ok());
  }
  EXPECT_THAT(shop::Log(), ElementsAre("ratings in 5", "ratings plan 5 made 1",
                                       "ratings out 5"));
}

TEST_F(ModuleLoaderTest, LoadsTheSameFileTwiceAsTwoObjects) {
  const absl::StatusOr<ModuleFile> file = ReadModuleFile(Built("ratings"));
  ASSERT_TRUE(file.ok());
  const absl::StatusOr<LoadedModule> one = LoadModule(*file);
  const absl::StatusOr<LoadedModule> other = LoadModule(*file);
  ASSERT_TRUE(one.ok() && other.ok());
  ASSERT_TRUE(Call(*one).ok() && Call(*one).ok() && Call(*other).ok());
  EXPECT_THAT(
      shop::Log(),
      ElementsAre("ratings in 5", "ratings in 5", "ratings plan 5 made 1",
                  "ratings plan 5 made 2", "ratings plan 5 made 1"));
}

TEST_F(ModuleLoaderTest, TheFileMayBeRebuiltMeanwhile) {
  WriteAll(path_, FileContents(Built("ratings")));
  const absl::StatusOr<LoadedModule> first = Load(path_);
  ASSERT_TRUE(first.ok()) << first.status();
  // In place, which would change code that is mapped from the file.
  WriteAll(path_, FileContents(Built("ratings_rebuilt")));
  const absl::StatusOr<LoadedModule> second = Load(path_);
  ASSERT_TRUE(second.ok()) << second.status();
  WriteAll(path_, "");
  ASSERT_TRUE(Call(*first).ok() && Call(*second).ok());
  EXPECT_THAT(shop::Log(),
              ElementsAre("ratings in 5", "ratings in 10",
                          "ratings plan 5 made 1", "ratings plan 10 made 1"));
}

TEST_F(ModuleLoaderTest, StrippedModulesLoad) {
  const absl::StatusOr<LoadedModule> module = Load(Built("ratings_stripped"));
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_TRUE(Call(*module).ok());
}

TEST_F(ModuleLoaderTest, ItsFunctionsAreKnownByTheNamesInItsFile) {
  const absl::StatusOr<LoadedModule> module = Load(Built("ratings"));
  ASSERT_TRUE(module.ok()) << module.status();
  const absl::StatusOr<Function> function = Function::Of(module->entry().plan);
  ASSERT_TRUE(function.ok()) << function.status();
  EXPECT_EQ(function->name(), "shop::AddRatings(instar::UpdatePlan&)");
  EXPECT_TRUE(absl::EndsWith(function->image(), "/ratings.so"))
      << function->image();
}

TEST_F(ModuleLoaderTest, AClosedDescriptorConfusesNobody) {
  absl::StatusOr<LoadedModule> first = Load(Built("ratings"));
  ASSERT_TRUE(first.ok());
  // What a program does that closes all descriptors it does not know, and gives
  // their numbers to files of its own.
  std::vector<int> of_program;
  for (const std::string& name : LoadedObjects()) {
    if (name.find("/fd/") == std::string::npos) continue;
    const int number = std::stoi(name.substr(name.rfind('/') + 1));
    ASSERT_EQ(dup2(STDERR_FILENO, number), number);
    of_program.push_back(number);
  }
  EXPECT_FALSE(of_program.empty());
  {
    const absl::StatusOr<LoadedModule> second = Load(Built("ratings_rebuilt"));
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_TRUE(Call(*second).ok());
    EXPECT_THAT(shop::Log(), Contains("ratings plan 10 made 1"));
  }
  {
    // Its functions are known by name nevertheless.
    const absl::StatusOr<Function> function = Function::Of(first->entry().plan);
    ASSERT_TRUE(function.ok()) << function.status();
    EXPECT_EQ(function->name(), "shop::AddRatings(instar::UpdatePlan&)");
    const LoadedModule gone = *std::move(first);
  }
  for (const int number : of_program) {
    EXPECT_EQ(close(number), 0) << "it was closed by somebody else";
  }
}

TEST_F(ModuleLoaderTest, RefusesAModuleOfAnotherProgram) {
  EXPECT_THAT(
      Refusal(Built("for_other_program"), StatusCode::kFailedPrecondition),
      AllOf(HasSubstr("built for the program other_program"),
            HasSubstr("this is scenario")));
  EXPECT_THAT(shop::Log(), IsEmpty());
}

TEST_F(ModuleLoaderTest, RefusesAModuleOfAnotherBuildOfTheProgram) {
  EXPECT_THAT(Refusal("manager/module_test/other_build/ratings.so",
                      StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("another build of scenario"),
                    HasSubstr("build it with the sources")));
  EXPECT_THAT(shop::Log(), IsEmpty());
}

TEST_F(ModuleLoaderTest, RefusesAModuleOfNoProgram) {
  EXPECT_THAT(Refusal(Built("for_no_program"), StatusCode::kFailedPrecondition),
              HasSubstr("give its update_module the attribute `program`"));
  EXPECT_THAT(shop::Log(), IsEmpty());
}

TEST_F(ModuleLoaderTest, NamesTheSymbolsThatAreMissing) {
  std::string contents = FileContents(Built("ratings"));
  const std::string name = "_ZN4shop3LogB5cxx11Ev";
  const size_t at = contents.find(name);
  ASSERT_NE(at, std::string::npos);
  contents.replace(at, name.size(), "_ZN4shop3FogB5cxx11Ev");
  WriteAll(path_, contents);
  EXPECT_THAT(Refusal(path_, StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("uses: shop::Fog[abi:cxx11]();"),
                    HasSubstr("put the library that defines it")));
  EXPECT_THAT(shop::Log(), IsEmpty());
}

TEST_F(ModuleLoaderTest, AnExceptionInAStaticInitializerIsARefusal) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Refusal(Built("throwing"), StatusCode::kAborted),
                AllOf(HasSubstr("static initializers threw no stock"),
                      HasSubstr("can return an error")));
  }
  EXPECT_THAT(shop::Log(),
              ElementsAre("throwing in", "throwing out", "throwing in",
                          "throwing out", "throwing in", "throwing out"));
  // The dynamic linker still works, for other threads, too.
  std::thread other([] { EXPECT_TRUE(Load(Built("ratings")).ok()); });
  other.join();
}

TEST_F(ModuleLoaderTest, ThreadLocalVariablesWorkInThreadsThatWereThere) {
  {
    const absl::StatusOr<LoadedModule> module = Load(Built("thread_locals"));
    ASSERT_TRUE(module.ok()) << module.status();
    std::thread other([&] { EXPECT_TRUE(Call(*module).ok()); });
    other.join();
    std::thread another([&] {
      EXPECT_TRUE(Call(*module).ok());
      EXPECT_TRUE(Call(*module).ok());
    });
    another.join();
  }
  EXPECT_THAT(shop::Log(),
              ElementsAre("42 a name that is longer than fifteen letters",
                          "42 a name that is longer than fifteen letters",
                          "44 a name that is longer than fifteen letters"));
}

TEST_F(ModuleLoaderTest, AThreadLocalDestructorKeepsItUntilTheThreadEnds) {
  std::thread other([] {
    const absl::StatusOr<LoadedModule> module = Load(Built("thread_locals"));
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_TRUE(Call(*module).ok());
    // It lingers, for the string that this thread still destroys.
  });
  other.join();
  { ASSERT_TRUE(Load(Built("ratings")).ok()); }
}

TEST_F(ModuleLoaderTest, TooManyStaticThreadLocalsAreARefusal) {
  EXPECT_THAT(
      Refusal(Built("static_thread_locals"), StatusCode::kFailedPrecondition),
      AllOf(HasSubstr("static TLS"), HasSubstr("initial-exec")));
}

// From here on modules are kept, so that the order of the tests counts.

TEST_F(ModuleLoaderTest, RequirementsComeFirst) {
  EXPECT_THAT(Refusal(Built("stars"), StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("requires the update ratings"),
                    HasSubstr("load that one first")));
  // One that is loaded, but not kept, is none.
  const absl::StatusOr<LoadedModule> ratings = Load(Built("ratings"));
  ASSERT_TRUE(ratings.ok());
  EXPECT_THAT(Refusal(Built("stars"), StatusCode::kFailedPrecondition),
              HasSubstr("load that one first"));
}

TEST_F(ModuleLoaderTest, RequirementsAreOfTheSameBuild) {
  absl::StatusOr<LoadedModule> rebuilt = Load(Built("ratings_rebuilt"));
  ASSERT_TRUE(rebuilt.ok());
  rebuilt->KeepLoaded();
  EXPECT_TRUE(rebuilt->is_kept());
  kept_ = 1;
  EXPECT_THAT(Refusal(Built("stars"), StatusCode::kFailedPrecondition),
              AllOf(HasSubstr("another build of the update ratings"),
                    HasSubstr("build both again")));
}

TEST_F(ModuleLoaderTest, AModuleIsBoundToTheLatestThatItRequires) {
  for (int made : {1, 3}) {
    absl::StatusOr<LoadedModule> ratings = Load(Built("ratings"));
    ASSERT_TRUE(ratings.ok());
    for (int i = 0; i < made; ++i) ASSERT_TRUE(Call(*ratings).ok());
    ratings->KeepLoaded();
    ++kept_;
    // Loaded later, but not kept.
    const absl::StatusOr<LoadedModule> dry_run = Load(Built("ratings"));
    ASSERT_TRUE(dry_run.ok());
    absl::StatusOr<LoadedModule> stars = Load(Built("stars"));
    ASSERT_TRUE(stars.ok()) << stars.status();
    ASSERT_TRUE(Call(*stars).ok());
    EXPECT_EQ(shop::Log().back(), absl::StrCat("stars 105 made ", made));
    stars->KeepLoaded();
    ++kept_;
  }
}

// Sanitizers add static initializers to every module.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kModulesAreBare = false;
#else
constexpr bool kModulesAreBare = true;
#endif

// One that is as it was is not loaded once more, and none needs to be.
TEST_F(ModuleLoaderTest, AModuleThatIsAsItWasIsUsedAgain) {
  if (!kModulesAreBare) GTEST_SKIP() << "modules have static initializers";
  const UpdateModuleEntry* entry = nullptr;
  kept_ = 1;
  for (int i = 0; i < 100; ++i) {
    absl::StatusOr<LoadedModule> module = Load(Built("changing"));
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_EQ(module->why_loaded_again(), "");
    EXPECT_EQ(module->is_kept(), i > 0);
    module->KeepLoaded();
    if (i == 0) entry = &module->entry();
    EXPECT_EQ(&module->entry(), entry);
    shop::Log().clear();
    EXPECT_TRUE(Call(*module).ok());
    EXPECT_EQ(shop::Log().back(), "calls 0");
    // Somebody has it: it is another one's, which is unloaded.
    const absl::StatusOr<LoadedModule> check = Load(Built("changing"));
    ASSERT_TRUE(check.ok()) << check.status();
    EXPECT_NE(&check->entry(), entry);
    EXPECT_EQ(check->why_loaded_again(), "");
  }
}

// One that is not begins anew nevertheless, and says why that takes memory.
TEST_F(ModuleLoaderTest, AModuleThatRemembersIsLoadedAgain) {
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<LoadedModule> module = Load(Built("changing"));
    ASSERT_TRUE(module.ok()) << module.status();
    if (kModulesAreBare) {
      EXPECT_EQ(module->why_loaded_again(),
                i < 1 ? "" : "has variables that were changed");
      // The one of the test before.
      if (!module->is_kept()) ++kept_;
    } else {
      ++kept_;
    }
    module->KeepLoaded();
    shop::Log().clear();
    EXPECT_TRUE(Call(*module).ok());
    EXPECT_EQ(shop::Log().back(), "calls 0");
    EXPECT_TRUE(Call(*module).ok());
    EXPECT_EQ(shop::Log().back(), "calls 1");
  }
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<LoadedModule> module = Load(Built("ratings_rebuilt"));
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_EQ(module->why_loaded_again(), "has static initializers");
    module->KeepLoaded();
    ++kept_;
  }
}

// Kept as modules are whose update was applied, and then undone.
TEST_F(ModuleLoaderTest, ManyThatAreKeptTakeNoDescriptors) {
  const int before = CountOpenFiles();
  for (int i = 0; i < 300; ++i) {
    absl::StatusOr<LoadedModule> module = Load(Built("ratings"));
    ASSERT_TRUE(module.ok()) << i << ": " << module.status();
    module->KeepLoaded();
    ++kept_;
    EXPECT_LE(CountOpenFiles(), before + 1);
  }
  EXPECT_EQ(CountOpenFiles(), before);
  // Each is an object of its own, and their names are known.
  const std::vector<std::string> names = LoadedObjects();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(),
            names.size());
}

}  // namespace
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The command instar-diff: see kDescription, or `instar-diff --help`.

#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/report.h"
#include "tools/differ/update_maker.h"
#include "updates/update_module.h"

namespace instar {
namespace differ {
namespace {

enum ExitCode {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kRefused = 3,
  kNothing = 4
};

constexpr char kDescription[] =
    "Compares two builds of a program, and makes an update module of what has "
    "changed.";

constexpr char kFooter[] = R"(Examples:
  instar-diff --program shop --old build-1 --new build-2 -o fix.so
  instar-diff --program shop --old build-1 --new build-2       compares only
  instar-diff --program shop --old build-1 --new build-2 cart.o libtax.a
  instar-diff --program shop --after fix.so --old build-2 --new build-3 -o more.so
  instar-diff --old shop.release --new build-2 -o fix.so
  instarctl load fix.so

Both builds are compiled by the same compiler with the same flags (instar-cc, or
updatable_cc_library), in the same folder or with -ffile-prefix-map, and linked
without LTO.

INSTAR_CXX names the compiler that links the module; by default c++, or cc where
there is none.

Exit codes:
  0  done
  1  a file cannot be read, or is not what it should be
  2  wrong usage
  3  refused: the report says what and why; no module has been written
  4  no function of the program has changed, so nothing can be applied; no module
)";

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "instar-diff: %s\n",
               std::string(status.message()).c_str());
  return kFailed;
}

// The module's parts are objects, and the libraries that it is linked with are
// named: any compiler will do.
std::string Compiler() {
  const char* named = getenv("INSTAR_CXX");
  if (named != nullptr && *named != '\0') return named;
  const char* path = getenv("PATH");
  for (const absl::string_view folder :
       absl::StrSplit(path == nullptr ? "" : path, ':')) {
    if (access(absl::StrCat(folder, "/c++").c_str(), X_OK) == 0) return "c++";
  }
  return "cc";
}

int Run(int argc, char** argv) {
  UpdateRequest request;
  std::string json;
  std::vector<std::string> old_objects;
  std::vector<std::string> new_objects;
  std::vector<std::string> old_sources;
  std::vector<std::string> allowed_types;
  std::vector<std::string> at_next_call;
  std::vector<std::string> waits_for;
  bool is_quiet = false;
  CLI::App app(kDescription, "instar-diff");
  app.footer(kFooter);
  app.add_option("--program", request.program,
                 "the program, or shared object, that runs, as it was linked; "
                 "stripped or not; by default that of the release file")
      ->type_name("FILE");
  std::string old_build;
  app.add_option("--old", old_build,
                 "folder of the objects that it was linked from, or a release "
                 "file of them (instar-release)")
      ->type_name("FOLDER|RELEASE");
  app.add_option("--new", request.new_folder,
                 "folder of the objects of the next build")
      ->type_name("FOLDER");
  app.add_option("--after", request.after,
                 "a module that has been applied; in their order, if several")
      ->type_name("MODULE.so");
  app.add_option("--old-object", old_objects,
                 "an object of the build that runs, in place of --old; its "
                 "name is the same in both builds")
      ->type_name("NAME=FILE");
  app.add_option("--new-object", new_objects, "an object of the next build")
      ->type_name("NAME=FILE");
  app.add_option("--exclude", request.excluded,
                 "objects below the folders of which to take no notice, with "
                 "`*` and `?`; may be given again")
      ->type_name("OBJECT");
  app.add_option("--unchanged", request.unchanged,
                 "a source that the program was linked from, with `*` and `?`, "
                 "of which no object is given since it has not changed; may be "
                 "given again")
      ->type_name("SOURCE");
  app.add_option("--old-sources", old_sources,
                 "where sources of the old build are that were in the same "
                 "place as those of the new one: to tell which functions "
                 "differ by moved lines only (assert)")
      ->type_name("FOLDER=FOLDER");
  app.add_option("--allow-type", allowed_types,
                 "a type whose layout has changed, and of which objects that "
                 "exist do no harm; may be given again")
      ->type_name("TYPE");
  app.add_option("--at-next-call", at_next_call,
                 "a changed function that may be running when the update is "
                 "applied, as an event loop is: it takes effect at its next "
                 "call; may be given again")
      ->type_name("FUNCTION");
  app.add_option("--wait-for", waits_for,
                 "a function that has not changed and has to be on no stack "
                 "when the update is applied, nor when it is undone: objects "
                 "of a type that --allow-type names live in its calls, say; "
                 "may be given again")
      ->type_name("FUNCTION");
  app.add_option("--explain", request.explained,
                 "a function of which to say how it has changed: its first "
                 "instruction that differs, and the lines that it comes from; "
                 "`*` for all; may be given again")
      ->type_name("FUNCTION");
  app.add_option("-o,--output", request.output,
                 "the module to be written; without it, compare only")
      ->type_name("MODULE.so");
  app.add_option("--name", request.name,
                 "of the update; by default that of the module's file")
      ->type_name("NAME");
  app.add_option("--json", json, "writes the report there, for programs")
      ->type_name("FILE");
  app.add_flag("-q,--quiet", is_quiet, "no report but of what is refused");
  app.add_option("objects", request.objects,
                 "objects to compare, as paths below both folders: what else "
                 "the program was linked from has not changed. By default all "
                 "that are there, also in static libraries, and none of the "
                 "program's may be missing")
      ->type_name("OBJECT");
  // An option that may be given again takes one value each time.
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) option->allow_extra_args(false);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (request.name.empty()) {
    request.name = std::filesystem::path(request.output).stem().native();
  }
  if (!request.output.empty() &&
      !updates_internal::IsUpdateName(request.name.c_str(),
                                      request.name.size())) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("an update cannot have the name ", request.name,
                     ": 1 to 64 letters, digits, '-', '_' and '.'; give "
                     "another by --name")));
  }
  absl::StatusOr<std::vector<NamedObject>> old_pairs =
      ParseNamedObjects(old_objects);
  if (!old_pairs.ok()) return Fail(old_pairs.status()), kUsage;
  request.old_objects = *std::move(old_pairs);
  absl::StatusOr<std::vector<NamedObject>> new_pairs =
      ParseNamedObjects(new_objects);
  if (!new_pairs.ok()) return Fail(new_pairs.status()), kUsage;
  request.new_objects = *std::move(new_pairs);
  absl::StatusOr<std::vector<NamedObject>> source_pairs =
      ParseNamedObjects(old_sources);
  if (!source_pairs.ok()) return Fail(source_pairs.status()), kUsage;
  for (NamedObject& pair : *source_pairs) {
    request.old_sources.prefixes.push_back(
        {std::move(pair.name), std::move(pair.path)});
  }
  std::error_code error;
  if (!old_build.empty() && !std::filesystem::exists(old_build, error)) {
    return Fail(absl::NotFoundError(old_build + " is not there"));
  }
  (std::filesystem::is_directory(old_build, error) ? request.old_folder
                                                   : request.release) =
      old_build;
  const bool has_old_objects = !request.old_objects.empty();
  const bool has_new_objects = !request.new_objects.empty();
  if (old_build.empty() != has_old_objects ||
      request.new_folder.empty() != has_new_objects ||
      (has_old_objects != has_new_objects && request.release.empty())) {
    std::fputs(
        "instar-diff: give both builds, by --old and --new, or by "
        "--old-object and --new-object\n",
        stderr);
    return kUsage;
  }
  if (request.program.empty() && request.release.empty()) {
    std::fputs("instar-diff: --program is needed, but with a release file\n",
               stderr);
    return kUsage;
  }
  request.allowed_types.insert(allowed_types.begin(), allowed_types.end());
  request.at_next_call.insert(at_next_call.begin(), at_next_call.end());
  request.waits_for.insert(waits_for.begin(), waits_for.end());
  request.compiler = Compiler();

  const absl::StatusOr<UpdateReport> report = MakeUpdate(request);
  if (!report.ok()) return Fail(report.status());
  if (!json.empty()) {
    std::FILE* file = std::fopen(json.c_str(), "we");
    const std::string text = ToJson(*report);
    const bool is_written =
        file != nullptr &&
        std::fwrite(text.data(), 1, text.size(), file) == text.size();
    if (file == nullptr || std::fclose(file) != 0 || !is_written) {
      return Fail(absl::UnknownError(absl::StrCat(json, " cannot be written")));
    }
  }
  if (!is_quiet || report->is_refused()) {
    std::fputs(ToText(*report).c_str(), stdout);
  }
  if (report->is_refused()) return kRefused;
  return report->is_empty() ? kNothing : kDone;
}

}  // namespace
}  // namespace differ
}  // namespace instar

int main(int argc, char** argv) { return instar::differ::Run(argc, argv); }

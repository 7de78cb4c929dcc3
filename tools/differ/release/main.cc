// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The command instar-release: see kDescription, or `instar-release --help`.

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/release/release_file.h"

namespace instar {
namespace differ {
namespace {

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2 };

constexpr char kDescription[] =
    "Keeps what later comparisons need of a build in one file: its program, "
    "the objects that it was linked from, and their sources.";

constexpr char kFooter[] = R"(Examples:
  instar-release build/shop -o shop.release
  instar-release build/shop build/src shop.o price.o -o shop.release
  instar-diff --old shop.release --new build -o fix.so

A release file is a tar archive: `tar --zstd -tf shop.release` lists it.

Exit codes:
  0  done
  1  a file cannot be read or written; an object is missing, or the program was
     not linked from it
  2  wrong usage
)";

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "instar-release: %s\n",
               std::string(status.message()).c_str());
  return kFailed;
}

int Run(int argc, char** argv) {
  ReleaseRequest request;
  std::vector<std::string> objects;
  bool is_quiet = false;
  CLI::App app(kDescription, "instar-release");
  app.footer(kFooter);
  app.add_option("program", request.program,
                 "the program, or shared object, as it was linked")
      ->required()
      ->type_name("PROGRAM");
  app.add_option("folder", request.folder,
                 "where its objects are; by default the program's folder")
      ->type_name("FOLDER");
  app.add_option("objects", request.names,
                 "their paths below the folder: what else the program was "
                 "linked from will not change. By default all that are there "
                 "and are the program's, also in static libraries, and none "
                 "may be missing")
      ->type_name("OBJECT");
  app.add_option("--object", objects,
                 "an object, in place of the folder; its name is the same in "
                 "all builds")
      ->type_name("NAME=FILE");
  app.add_option("--exclude", request.excluded,
                 "objects below the folder of which to take no notice, with "
                 "`*` and `?`; may be given again")
      ->type_name("OBJECT");
  app.add_option("--unchanged", request.unchanged,
                 "a source that the program was linked from, with `*` and `?`, "
                 "of which no object is given since it will not change; may be "
                 "given again")
      ->type_name("SOURCE");
  app.add_option("--after", request.after,
                 "a module that has been applied to the program, of which the "
                 "objects are what it brought; in their order, if several")
      ->type_name("MODULE.so");
  app.add_option("-o,--output", request.output, "the file to be written")
      ->required()
      ->type_name("FILE.release");
  app.add_flag("-q,--quiet", is_quiet, "says nothing when it is done");
  // An option that may be given again takes one value each time.
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) option->allow_extra_args(false);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  absl::StatusOr<std::vector<NamedObject>> named = ParseNamedObjects(objects);
  if (!named.ok()) return Fail(named.status()), kUsage;
  request.objects = *std::move(named);
  if (!objects.empty() && !request.folder.empty()) {
    std::fputs("instar-release: give a folder, or --object\n", stderr);
    return kUsage;
  }
  if (objects.empty() && request.folder.empty()) {
    request.folder =
        std::filesystem::path(request.program).parent_path().native();
    if (request.folder.empty()) request.folder = ".";
  }
  const absl::StatusOr<ReleaseSummary> summary = WriteRelease(request);
  if (!summary.ok()) return Fail(summary.status());
  if (!is_quiet) {
    std::printf("%s: build %s, %llu objects, %llu sources, %.1f MiB\n",
                request.output.c_str(), summary->build_id.c_str(),
                static_cast<unsigned long long>(summary->objects),
                static_cast<unsigned long long>(summary->sources),
                static_cast<double>(summary->size) / (1 << 20));
  }
  return kDone;
}

}  // namespace
}  // namespace differ
}  // namespace instar

int main(int argc, char** argv) { return instar::differ::Run(argc, argv); }

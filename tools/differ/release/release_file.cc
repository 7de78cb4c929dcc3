// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/release/release_file.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "tools/differ/dwarf/line_numbers.h"
#include "tools/differ/dwarf/object_debug_info.h"
#include "tools/differ/elf_file.h"
#include "tools/differ/files/archive.h"
#include "tools/differ/files/includes.h"
#include "tools/differ/files/mapped_file.h"
#include "tools/differ/files/program_objects.h"
#include "tools/differ/findings.h"
#include "tools/differ/update_state.h"

namespace instar {
namespace differ {
namespace {

constexpr int kFormat = 1;
constexpr char kContents[] = "release.json";
constexpr char kContentsDigest[] = "release.digest";
constexpr char kProgram[] = "program";
constexpr char kObject[] = "object";
constexpr char kSource[] = "source";

// Of an archive that is kept for long and written once.
constexpr char kCompressionLevel[] = "12";

// A file in the archive.
struct Part {
  std::string kind;
  std::string name;   // the object's, or the path that it had
  std::string entry;  // what the archive calls it
  std::string path;   // where its contents are
};

std::string Hexadecimal(std::uint64_t digest) {
  return absl::StrFormat("%016x", digest);
}

// The file that an object is, or is in.
std::string FileOf(const std::string& path) {
  const std::optional<MemberPath> member = SplitMemberPath(path);
  return member ? member->archive : path;
}

// Which sources an object was compiled from, with what they include, as far as
// they have not been edited since: `is_same` becomes false for those that have.
absl::Status AddSourcesOf(const std::string& path,
                          std::map<std::string, bool>& is_same) {
  std::error_code error;
  const auto compiled = std::filesystem::last_write_time(FileOf(path), error);
  INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(path));
  const absl::StatusOr<std::unique_ptr<ObjectDebugInfo>> info =
      ObjectDebugInfo::Read(elf);
  // Assembly may have none.
  if (absl::IsNotFound(info.status())) return absl::OkStatus();
  INSTAR_RETURN_IF_ERROR(info.status());
  INSTAR_ASSIGN_OR_RETURN(const LineNumbers lines, LineNumbers::Of(**info));
  std::vector<std::string> pending;
  for (const absl::string_view name : lines.Files()) {
    if (absl::StartsWith(name, "/") && !IsOfSystem(name)) {
      pending.emplace_back(name);
    }
  }
  std::set<std::string> seen(pending.begin(), pending.end());
  while (!pending.empty()) {
    const std::string source = std::move(pending.back());
    pending.pop_back();
    const auto inserted = is_same.emplace(source, true);
    const bool is_file = std::filesystem::is_regular_file(source, error);
    const auto edited = std::filesystem::last_write_time(source, error);
    if (!is_file || error || edited > compiled) inserted.first->second = false;
    std::ifstream text(source);
    for (std::string line; std::getline(text, line);) {
      const std::optional<Include> include = IncludeOf(line);
      if (!include) continue;
      const std::optional<std::string> found = FindInclude(
          *include, source, lines.folders(), [&](const std::string& at) {
            return std::filesystem::is_regular_file(at, error);
          });
      if (found && !IsOfSystem(*found) && seen.insert(*found).second) {
        pending.push_back(*found);
      }
    }
  }
  return absl::OkStatus();
}

// --- Writing ---

class Writer {
 public:
  explicit Writer(std::string path)
      : path_(std::move(path)), archive_(archive_write_new()) {}
  ~Writer() { archive_write_free(archive_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  absl::Status Open() {
    if (archive_write_add_filter_zstd(archive_) != ARCHIVE_OK ||
        archive_write_set_filter_option(archive_, "zstd", "compression-level",
                                        kCompressionLevel) != ARCHIVE_OK ||
        // Names are bytes, whatever the locale is.
        archive_write_set_format_gnutar(archive_) != ARCHIVE_OK ||
        archive_write_open_filename(archive_, path_.c_str()) != ARCHIVE_OK) {
      return Failed();
    }
    return absl::OkStatus();
  }

  absl::Status Add(const std::string& entry, absl::string_view contents) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> header(
        archive_entry_new(), &archive_entry_free);
    archive_entry_set_pathname(header.get(), entry.c_str());
    archive_entry_set_size(header.get(),
                           static_cast<la_int64_t>(contents.size()));
    archive_entry_set_filetype(header.get(), AE_IFREG);
    archive_entry_set_perm(header.get(), 0644);
    // Two releases of one build are the same, whenever they are made.
    archive_entry_set_mtime(header.get(), 0, 0);
    if (archive_write_header(archive_, header.get()) != ARCHIVE_OK ||
        archive_write_data(archive_, contents.data(), contents.size()) !=
            static_cast<la_ssize_t>(contents.size())) {
      return Failed();
    }
    return absl::OkStatus();
  }

  absl::Status Close() {
    return archive_write_close(archive_) == ARCHIVE_OK ? absl::OkStatus()
                                                       : Failed();
  }

 private:
  absl::Status Failed() const {
    return absl::UnknownError(absl::StrCat(
        path_, " cannot be written: ", archive_error_string(archive_)));
  }

  std::string path_;
  archive* archive_;
};

// The objects that are the program's.
absl::StatusOr<ProgramObjects> Choose(const UpdateState& state,
                                      const ReleaseRequest& request) {
  GivenObjects given;
  given.is_subset = request.folder.empty() || !request.names.empty();
  given.unchanged = request.unchanged;
  if (request.folder.empty()) {
    given.files = MatchObjects(request.objects, request.objects);
  } else {
    INSTAR_ASSIGN_OR_RETURN(
        given.files,
        FindObjects(request.folder, request.folder, request.names));
  }
  given.files = Without(request.excluded, std::move(given.files));
  Findings findings;
  INSTAR_ASSIGN_OR_RETURN(ProgramObjects chosen,
                          ChooseObjects(state, std::move(given), findings));
  std::vector<std::string> refused;
  for (const Finding& finding : findings.all()) {
    if (finding.severity != Severity::kRefusal) continue;
    refused.push_back(absl::StrCat(
        finding.object, finding.object.empty() ? "" : ": ", finding.message));
  }
  if (refused.empty()) return chosen;
  return absl::InvalidArgumentError(absl::StrJoin(refused, "\n"));
}

// The contents are JSON, which is UTF-8.
absl::Status CheckName(const std::string& name) {
  try {
    static_cast<void>(nlohmann::json(name).dump());
    return absl::OkStatus();
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the name \"", absl::CEscape(name), "\" is no UTF-8; rename it"));
  }
}

absl::Status WriteParts(const std::vector<Part>& parts,
                        nlohmann::json& contents, const std::string& output) {
  contents["parts"] = nlohmann::json::array();
  for (const Part& part : parts) {
    INSTAR_RETURN_IF_ERROR(CheckName(part.name));
    INSTAR_ASSIGN_OR_RETURN(const auto file, MappedFile::Read(part.path));
    contents["parts"].push_back(
        {{"kind", part.kind},
         {"name", part.name},
         {"entry", part.entry},
         {"size", file->bytes().size()},
         {"digest", Hexadecimal(DigestOf(file->bytes()))}});
  }
  Writer writer(output);
  INSTAR_RETURN_IF_ERROR(writer.Open());
  const std::string text = contents.dump(1) + "\n";
  INSTAR_RETURN_IF_ERROR(writer.Add(kContents, text));
  for (const Part& part : parts) {
    INSTAR_ASSIGN_OR_RETURN(const auto file, MappedFile::Read(part.path));
    INSTAR_RETURN_IF_ERROR(writer.Add(part.entry, file->bytes()));
  }
  INSTAR_RETURN_IF_ERROR(
      writer.Add(kContentsDigest, Hexadecimal(DigestOf(text)) + "\n"));
  return writer.Close();
}

// --- Reading ---

class Reader {
 public:
  explicit Reader(std::string path)
      : path_(std::move(path)), archive_(archive_read_new()) {}
  ~Reader() { archive_read_free(archive_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  absl::Status Open() {
    archive_read_support_filter_zstd(archive_);
    archive_read_support_format_tar(archive_);
    constexpr std::size_t kBlock = 1 << 16;
    if (archive_read_open_filename(archive_, path_.c_str(), kBlock) ==
        ARCHIVE_OK) {
      return absl::OkStatus();
    }
    std::error_code error;
    if (!std::filesystem::exists(path_, error)) {
      return absl::NotFoundError(absl::StrCat(path_, " is not there"));
    }
    return Damaged(archive_error_string(archive_));
  }

  // False: there is none left.
  absl::StatusOr<bool> Next(std::string& entry, std::string& contents) {
    archive_entry* header = nullptr;
    const int found = archive_read_next_header(archive_, &header);
    if (found == ARCHIVE_EOF) return false;
    if (found != ARCHIVE_OK) return Damaged(archive_error_string(archive_));
    const char* const name = archive_entry_pathname(header);
    if (name == nullptr) return Damaged("a file in it has no name");
    entry = name;
    contents.clear();
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    while (true) {
      const int read =
          archive_read_data_block(archive_, &block, &size, &offset);
      if (read == ARCHIVE_EOF) return true;
      if (read != ARCHIVE_OK) return Damaged(archive_error_string(archive_));
      contents.append(static_cast<const char*>(block), size);
    }
  }

  absl::Status Damaged(absl::string_view why) const {
    return absl::InvalidArgumentError(
        absl::StrCat(path_,
                     " is no release file that instar-release has made, or is "
                     "damaged: ",
                     why));
  }

 private:
  std::string path_;
  archive* archive_;
};

std::vector<std::string> TextsIn(const nlohmann::json& object,
                                 const char* key) {
  std::vector<std::string> texts;
  const auto found = object.find(key);
  if (found == object.end()) return texts;
  for (const nlohmann::json& text : *found) {
    if (text.is_string()) texts.push_back(text.get<std::string>());
  }
  return texts;
}

// A string of the contents; empty if there is none.
std::string TextIn(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found == object.end() || !found->is_string()
             ? ""
             : found->get<std::string>();
}

// Whether this path, from a file that anybody may have made, leads nowhere else
// than below.
bool IsBelow(const std::string& name) {
  const std::filesystem::path path(name);
  return !name.empty() && path.is_relative() &&
         std::find(path.begin(), path.end(), "..") == path.end();
}

absl::Status Write(const std::string& path, const std::string& contents) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(),
                                      error);
  const auto failed = [&path] {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, " cannot be written"));
  };
  FILE* const out = std::fopen(path.c_str(), "wbe");
  if (out == nullptr) return failed();
  const bool is_written =
      std::fwrite(contents.data(), 1, contents.size(), out) == contents.size();
  const absl::Status status = is_written ? absl::OkStatus() : failed();
  return std::fclose(out) == 0 || !is_written ? status : failed();
}

}  // namespace

absl::StatusOr<ReleaseSummary> WriteRelease(const ReleaseRequest& request) {
  ReleaseSummary summary;
  INSTAR_ASSIGN_OR_RETURN(const UpdateState state,
                          UpdateState::Read(request.program, request.after));
  INSTAR_ASSIGN_OR_RETURN(const ProgramObjects chosen, Choose(state, request));
  std::error_code error;
  const std::string program =
      std::filesystem::absolute(request.program, error).lexically_normal();
  std::vector<Part> parts = {{kProgram, program, kProgram, request.program}};
  std::map<std::string, bool> sources;
  std::set<std::string> files;
  for (const ObjectFiles& one : chosen.files) {
    INSTAR_RETURN_IF_ERROR(AddSourcesOf(one.old_path, sources));
    ++summary.objects;
    const std::string name = FileOf(one.name);
    if (!files.insert(name).second) continue;  // another one of its library
    parts.push_back(
        {kObject, name, absl::StrCat("objects/", name), FileOf(one.old_path)});
  }
  for (const auto& [source, is_same] : sources) {
    if (!is_same) continue;
    parts.push_back({kSource, source,
                     absl::StrCat("sources/", absl::StripPrefix(source, "/")),
                     source});
    ++summary.sources;
  }

  nlohmann::json contents;
  contents["format"] = kFormat;
  contents["build_id"] = state.target().build_id();
  contents["after"] = nlohmann::json::array();
  for (const EarlierModule& module : state.modules()) {
    contents["after"].push_back(module.build_id);
  }
  contents["excluded"] = request.excluded;
  std::vector<std::string> unchanged = request.unchanged;
  unchanged.insert(unchanged.end(), chosen.not_compared.begin(),
                   chosen.not_compared.end());
  contents["unchanged"] = unchanged;
  for (const auto* const names :
       {&request.excluded, &std::as_const(unchanged)}) {
    for (const std::string& name : *names) {
      INSTAR_RETURN_IF_ERROR(CheckName(name));
    }
  }
  const std::string unfinished = request.output + ".unfinished";
  absl::Status status = WriteParts(parts, contents, unfinished);
  if (status.ok() &&
      std::rename(unfinished.c_str(), request.output.c_str()) != 0) {
    status = absl::ErrnoToStatus(
        errno, absl::StrCat(request.output, " cannot be written"));
  }
  if (!status.ok()) {
    std::remove(unfinished.c_str());
    return status;
  }
  summary.build_id = state.target().build_id();
  summary.size = std::filesystem::file_size(request.output, error);
  return summary;
}

absl::StatusOr<Release> UnpackRelease(const std::string& path,
                                      const std::string& folder) {
  Reader reader(path);
  INSTAR_RETURN_IF_ERROR(reader.Open());
  std::string entry;
  std::string text;
  INSTAR_ASSIGN_OR_RETURN(bool is_there, reader.Next(entry, text));
  if (!is_there || entry != kContents) {
    return reader.Damaged("it does not begin with its contents");
  }
  const nlohmann::json contents =
      nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!contents.is_object() || !contents.contains("format") ||
      !contents.contains("parts")) {
    return reader.Damaged("its contents are not to be read");
  }
  if (contents["format"] != kFormat) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is of format ", contents["format"].dump(), ", and only ",
        kFormat, " is known here: it was made by another version of Instar"));
  }
  Release release;
  release.build_id = TextIn(contents, "build_id");
  release.after = TextsIn(contents, "after");
  release.excluded = TextsIn(contents, "excluded");
  release.unchanged = TextsIn(contents, "unchanged");
  release.folder = folder + "/objects";
  const std::string contents_digest = Hexadecimal(DigestOf(text)) + "\n";
  std::map<std::string, nlohmann::json> expected;
  for (const nlohmann::json& part : contents["parts"]) {
    expected[TextIn(part, "entry")] = part;
  }
  while (true) {
    INSTAR_ASSIGN_OR_RETURN(is_there, reader.Next(entry, text));
    if (!is_there) return reader.Damaged("it is truncated");
    if (entry == kContentsDigest) break;
    const auto found = expected.find(entry);
    if (found == expected.end()) {
      return reader.Damaged(absl::StrCat(entry, " is not in its contents"));
    }
    const nlohmann::json& part = found->second;
    if (TextIn(part, "digest") != Hexadecimal(DigestOf(text))) {
      return reader.Damaged(absl::StrCat(entry, " is not what it was"));
    }
    const std::string kind = TextIn(part, "kind");
    const std::string name = TextIn(part, "name");
    if (kind == kProgram) {
      release.program = folder + "/program";
      release.program_was = name;
      INSTAR_RETURN_IF_ERROR(Write(release.program, text));
    } else if (kind == kObject) {
      if (!IsBelow(name)) {
        return reader.Damaged(absl::StrCat(name, " is no path of an object"));
      }
      std::string copy = absl::StrCat(release.folder, "/", name);
      INSTAR_RETURN_IF_ERROR(Write(copy, text));
      release.objects.push_back({name, std::move(copy)});
    } else if (kind == kSource) {
      release.sources[name] = text;
    }
    expected.erase(found);
  }
  if (text != contents_digest) {
    return reader.Damaged("its contents are not what they were");
  }
  if (!expected.empty()) {
    return reader.Damaged(absl::StrCat(expected.begin()->first, " is missing"));
  }
  if (release.program.empty() || release.objects.empty()) {
    return reader.Damaged("it has no program, or no objects");
  }
  return release;
}

}  // namespace differ
}  // namespace instar

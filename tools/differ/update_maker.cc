// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/update_maker.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/comparison.h"
#include "tools/differ/debug_answers.h"
#include "tools/differ/explain/explanation.h"
#include "tools/differ/files/definitions_of_names.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/files/program_objects.h"
#include "tools/differ/files/source_ages.h"
#include "tools/differ/judges/folded_functions.h"
#include "tools/differ/judges/lasting_code.h"
#include "tools/differ/judges/layout_judge.h"
#include "tools/differ/judges/never_left.h"
#include "tools/differ/judges/signature_judge.h"
#include "tools/differ/judges/start_judge.h"
#include "tools/differ/judges/variable_judge.h"
#include "tools/differ/link.h"
#include "tools/differ/module_tables.h"
#include "tools/differ/object.h"
#include "tools/differ/payload.h"
#include "tools/differ/release/release_file.h"
#include "tools/differ/report.h"
#include "tools/differ/temporary_folder.h"
#include "tools/differ/update_state.h"
#include "tools/differ/waited_functions.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// The objects that the author has named, or that are in the folders.
absl::StatusOr<GivenObjects> Given(const UpdateRequest& request) {
  GivenObjects given;
  given.is_subset = request.old_folder.empty() || !request.objects.empty();
  given.unchanged = request.unchanged;
  if (request.old_folder.empty()) {
    given.files = MatchObjects(request.old_objects, request.new_objects);
    return given;
  }
  INSTAR_ASSIGN_OR_RETURN(
      given.files,
      FindObjects(request.old_folder, request.new_folder, request.objects));
  given.files = Without(request.excluded, std::move(given.files));
  return given;
}

// Objects of both builds, and what was found of them.
struct Compared {
  std::vector<std::unique_ptr<Object>> objects;
  std::unique_ptr<DebugAnswers> debug;
  std::unique_ptr<Comparison> comparison;
};

absl::StatusOr<Compared> Compare(const std::vector<ObjectFiles>& files,
                                 const std::set<std::string>& besides,
                                 const UpdateRequest& request) {
  Compared result;
  result.debug = std::make_unique<DebugAnswers>(request.old_sources);
  std::vector<ObjectPair> pairs;
  for (const ObjectFiles& one : files) {
    if (one.is_identical && besides.count(one.name) == 0) continue;
    ObjectPair pair = {nullptr, nullptr};
    if (!one.old_path.empty()) {
      INSTAR_ASSIGN_OR_RETURN(std::unique_ptr<Object> object,
                              Object::Read(one.old_path, one.name));
      pair.old_object = object.get();
      result.objects.push_back(std::move(object));
    }
    if (!one.new_path.empty()) {
      INSTAR_ASSIGN_OR_RETURN(std::unique_ptr<Object> object,
                              Object::Read(one.new_path, one.name));
      pair.new_object = object.get();
      result.objects.push_back(std::move(object));
    }
    pairs.push_back(pair);
  }
  DebugQuestions questions = result.debug->Questions();
  questions.changed_closures = [debug = result.debug.get()](const auto& those) {
    return ChangedClosures(those, *debug);
  };
  result.comparison =
      std::make_unique<Comparison>(std::move(pairs), std::move(questions));
  return result;
}

// Identical objects that refer to constants of which the value has changed: the
// functions that do so have changed.
absl::Status AddUsersOf(const std::vector<const Unit*>& constants,
                        const std::vector<ObjectFiles>& files,
                        std::set<std::string>& besides) {
  absl::flat_hash_set<absl::string_view> names;
  for (const Unit* constant : constants) {
    for (const Symbol* symbol : constant->symbols) {
      if (!symbol->is_local()) names.insert(symbol->name);
    }
  }
  if (names.empty()) return absl::OkStatus();
  for (const ObjectFiles& one : files) {
    if (!one.is_identical || besides.count(one.name) != 0) continue;
    INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(one.new_path));
    for (const Symbol& symbol : elf.symbols()) {
      if (!symbol.is_local() && names.contains(symbol.name)) {
        besides.insert(one.name);
        break;
      }
    }
  }
  return absl::OkStatus();
}

// Also what is identical, where that has to be known.
absl::StatusOr<Compared> CompareAll(const std::vector<ObjectFiles>& files,
                                    const UpdateRequest& request) {
  std::set<std::string> besides;
  INSTAR_RETURN_IF_ERROR(AddObjectsWith(request.waits_for, files, besides));
  Compared compared;
  std::size_t known = 0;
  do {
    known = besides.size();
    INSTAR_ASSIGN_OR_RETURN(compared, Compare(files, besides, request));
    INSTAR_RETURN_IF_ERROR(
        AddUsersOf(compared.comparison->changed_constants(), files, besides));
  } while (known != besides.size());
  return compared;
}

absl::Status ExplainThose(const std::vector<std::string>& names,
                          const Compared& compared, UpdateReport& report) {
  for (const std::string& name : names) {
    const std::vector<Explanation> explained =
        Explain(*compared.comparison, *compared.debug, name);
    if (explained.empty() && name != "*") {
      return absl::NotFoundError(absl::StrCat(
          "no function ", name,
          " in the objects that differ: there is nothing to explain"));
    }
    report.explanations.insert(report.explanations.end(), explained.begin(),
                               explained.end());
  }
  return absl::OkStatus();
}

// Of all objects of the old build.
struct Names {
  absl::flat_hash_set<std::string> hidden;
  absl::flat_hash_set<std::string> wrapped;    // of NAME, __wrap_NAME is one
  absl::flat_hash_set<std::string> identical;  // of objects not compared
  StartNames start;
};

absl::StatusOr<Names> NamesOf(const std::vector<ObjectFiles>& files,
                              const Comparison& comparison,
                              const LinkedImage& target) {
  std::set<absl::string_view> compared;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object != nullptr) compared.insert(pair.old_object->name());
  }
  Names names;
  for (const ObjectFiles& one : files) {
    if (one.old_path.empty()) continue;
    const bool is_compared = compared.count(one.name) != 0;
    INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(one.old_path));
    for (const Symbol& symbol : elf.symbols()) {
      // Also by a version script.
      const bool is_hidden =
          (symbol.visibility != STV_DEFAULT &&
           symbol.visibility != STV_PROTECTED) ||
          (target.is_shared_object() && !target.IsExported(symbol.name));
      if (symbol.is_local()) continue;
      if (symbol.section == kUndefined) {
        if (!is_compared) names.start.used_elsewhere.emplace(symbol.name);
        continue;
      }
      names.start.defined.emplace(symbol.name);
      absl::string_view name = symbol.name;
      if (absl::ConsumePrefix(&name, "__wrap_")) names.wrapped.emplace(name);
      if (!is_compared) names.identical.emplace(symbol.name);
      if (is_hidden) names.hidden.emplace(symbol.name);
    }
  }
  return names;
}

// What has been compared, and has changed.
UpdateReport ReportOf(const ProgramObjects& chosen,
                      const Comparison& comparison) {
  UpdateReport report;
  report.objects = chosen.files.size();
  report.identical_objects = static_cast<std::uint64_t>(
      std::count_if(chosen.files.begin(), chosen.files.end(),
                    [](const ObjectFiles& one) { return one.is_identical; }));
  report.left_out = chosen.left_out;
  report.not_compared = chosen.not_compared;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->is_anonymous() || unit->is_initializer()) continue;
      if (unit->status == UnitStatus::kSame) {
        report.same_functions += unit->is_function();
        continue;
      }
      // Of a COMDAT group others may have had it: instances of templates, and
      // what the compiler makes for a class.
      if (unit->status == UnitStatus::kNew &&
          (!unit->main().group.empty() || unit->is_separate)) {
        ++report.new_instances;
        continue;
      }
      report.changes.push_back({pair.new_object->name(), Demangle(unit->name),
                                unit->is_function(),
                                unit->status == UnitStatus::kNew, unit->why});
    }
  }
  report.moved_functions = comparison.moved_only().size();
  return report;
}

// Where the units of the old objects are in what runs.
absl::Status LocateAll(const UpdateState& state, const Comparison& comparison,
                       PayloadContext& context, ModuleTables& tables) {
  for (const ObjectPair& pair : comparison.pairs()) {
    bool is_complete = true;
    if (pair.old_object != nullptr) {
      INSTAR_ASSIGN_OR_RETURN(const UpdateState::Located located,
                              state.Locate(*pair.old_object));
      is_complete = located.is_complete;
      if (is_complete) context.complete.insert(pair.old_object);
      context.place_of.insert(located.place_of.begin(), located.place_of.end());
      context.cold_parts_of.insert(located.cold_parts_of.begin(),
                                   located.cold_parts_of.end());
    }
    if (pair.new_object != nullptr) {
      tables.objects.push_back({pair.new_object, is_complete});
    }
  }
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->is_function() && unit->status == UnitStatus::kChanged &&
          !unit->main().group.empty() && context.place_of.contains(unit->old)) {
        context.changed_copies.insert(unit->name);
      }
    }
  }
  return absl::OkStatus();
}

// One of each object of the new build.
std::vector<std::unique_ptr<Payload>> MakePayloads(const ModuleTables& tables,
                                                   PayloadContext& context,
                                                   UpdateReport& report) {
  std::vector<std::unique_ptr<Payload>> payloads;
  std::set<std::string> imports;
  for (const ModuleTables::ComparedObject& one : tables.objects) {
    payloads.push_back(std::make_unique<Payload>(context, *one.object));
    report.redirected_functions += payloads.back()->redirected().size();
    report.hooks += payloads.back()->hooks();
    for (const std::string& name : payloads.back()->imported_names()) {
      imports.insert(Demangle(name));
    }
  }
  report.imports.assign(imports.begin(), imports.end());
  return payloads;
}

// The folder of a soname is not part of it, and what is before its digest names
// the module.
absl::StatusOr<std::string> Soname(const std::string& output,
                                   const std::vector<std::string>& parts) {
  std::uint64_t digest = 0;
  for (const std::string& part : parts) {
    INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(part));
    digest = digest * 31 + DigestOf(elf.bytes());
  }
  const std::string stem = std::filesystem::path(output).stem().native();
  return absl::StrFormat("%s.%016x.so", stem, digest);
}

absl::Status WriteModule(const UpdateRequest& request,
                         const std::vector<std::unique_ptr<Payload>>& payloads,
                         const ModuleTables& tables) {
  INSTAR_ASSIGN_OR_RETURN(const std::unique_ptr<TemporaryFolder> folder,
                          TemporaryFolder::Make());
  ModuleLink link;
  link.compiler = request.compiler;
  link.output = request.output;
  link.libraries = tables.state->target().library_paths();
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    // Of an object without a change, too, it says where its units are.
    link.objects.push_back(absl::StrCat(folder->path(), "/", i, ".o"));
    INSTAR_RETURN_IF_ERROR(payloads[i]->Write(link.objects.back(), i));
  }
  link.objects.push_back(absl::StrCat(folder->path(), "/tables.o"));
  INSTAR_RETURN_IF_ERROR(WriteModuleTables(tables, link.objects.back()));
  INSTAR_ASSIGN_OR_RETURN(link.soname, Soname(request.output, link.objects));
  return LinkModule(link);
}

// The request with what the release holds in place of the release.
absl::StatusOr<UpdateRequest> WithRelease(const UpdateRequest& request,
                                          const std::string& folder) {
  UpdateRequest result = request;
  INSTAR_ASSIGN_OR_RETURN(Release release,
                          UnpackRelease(request.release, folder));
  if (request.program.empty()) {
    result.program = release.program;
    result.program_was = release.program_was;
  }
  INSTAR_ASSIGN_OR_RETURN(
      const UpdateState state,
      UpdateState::Read(result.program, request.after, result.program_was));
  if (state.target().build_id() != release.build_id) {
    return absl::InvalidArgumentError(absl::StrCat(
        request.release, " is of another build of ",
        std::filesystem::path(release.program_was).filename().native(), " (",
        release.build_id, ") than ", request.program, " (",
        state.target().build_id(), "): give the release of what runs"));
  }
  std::vector<std::string> after;
  for (const EarlierModule& module : state.modules()) {
    after.push_back(module.build_id);
  }
  if (after != release.after) {
    return absl::InvalidArgumentError(absl::StrCat(
        request.release, " is of the state after ", release.after.size(),
        " modules, which are not those that --after names: give the release "
        "of what runs now, or the modules that it was made with"));
  }
  if (request.new_folder.empty()) {
    result.old_objects = release.objects;
  } else {
    result.old_folder = release.folder;
  }
  result.excluded.insert(result.excluded.end(), release.excluded.begin(),
                         release.excluded.end());
  result.unchanged.insert(result.unchanged.end(), release.unchanged.begin(),
                          release.unchanged.end());
  result.release.clear();
  result.old_sources.texts = std::move(release.sources);
  return result;
}

}  // namespace

bool UpdateReport::is_refused() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) {
                       return finding.severity == Severity::kRefusal;
                     });
}

absl::StatusOr<UpdateReport> MakeUpdate(const UpdateRequest& request) {
  if (!request.release.empty()) {
    INSTAR_ASSIGN_OR_RETURN(const std::unique_ptr<TemporaryFolder> folder,
                            TemporaryFolder::Make());
    INSTAR_ASSIGN_OR_RETURN(const UpdateRequest unpacked,
                            WithRelease(request, folder->path()));
    return MakeUpdate(unpacked);
  }
  INSTAR_ASSIGN_OR_RETURN(
      const UpdateState state,
      UpdateState::Read(request.program, request.after, request.program_was));
  Findings findings;
  INSTAR_ASSIGN_OR_RETURN(GivenObjects given, Given(request));
  INSTAR_ASSIGN_OR_RETURN(const ProgramObjects chosen,
                          ChooseObjects(state, std::move(given), findings));
  const std::vector<ObjectFiles>& files = chosen.files;
  // What a build system has made is as it should be.
  if (!request.old_folder.empty()) WarnOfAges(files, findings);
  INSTAR_ASSIGN_OR_RETURN(const Compared compared, CompareAll(files, request));
  const Comparison& comparison = *compared.comparison;
  UpdateReport report = ReportOf(chosen, comparison);
  INSTAR_RETURN_IF_ERROR(ExplainThose(request.explained, compared, report));
  for (const Finding& finding : comparison.findings().all()) {
    findings.Add(finding.severity, finding.object, finding.message);
  }
  compared.debug->CheckCompilers(comparison.pairs(), findings);
  INSTAR_RETURN_IF_ERROR(JudgeDefinitions(files, findings));
  LayoutJudgement layouts =
      JudgeLayouts(comparison, request.allowed_types, state.gone_types(),
                   *compared.debug, findings);
  PayloadContext context = {};
  context.at_next_call = request.at_next_call;
  const LastingCode lasting(
      comparison,
      [&context](const Unit& function) -> std::string {
        if (IsNeverLeft(function)) return "is never left";
        return IsAtNextCall(function, context) ? "may be running" : "";
      },
      state.still_called());
  SignatureJudgement signatures = JudgeSignatures(
      comparison, lasting, state.still_called(), *compared.debug, findings);
  context.other_signatures = std::move(signatures.changed);
  std::vector<const Unit*> watched = std::move(signatures.watched);
  for (const std::string& name : request.waits_for) {
    INSTAR_ASSIGN_OR_RETURN(
        const std::vector<const Unit*> functions,
        WaitedFunctions(name, comparison, *compared.debug, findings));
    watched.insert(watched.end(), functions.begin(), functions.end());
  }

  INSTAR_ASSIGN_OR_RETURN(Names names,
                          NamesOf(files, comparison, state.target()));
  JudgeStart(comparison, names.start, findings);
  JudgeVariables(comparison, {names.start.defined, names.identical}, findings);

  context.state = &state;
  context.comparison = &comparison;
  context.findings = &findings;
  context.converts_under =
      UsersOfTypes(comparison, layouts.converted, *compared.debug);
  JudgeConversions(lasting, context.converts_under, findings);
  context.hidden_names = std::move(names.hidden);
  context.wrapped_names = std::move(names.wrapped);
  ModuleTables tables;
  INSTAR_RETURN_IF_ERROR(LocateAll(state, comparison, context, tables));
  JudgeFolded(comparison, context.place_of, state.target(), names.start.defined,
              findings);
  const std::vector<std::unique_ptr<Payload>> payloads =
      MakePayloads(tables, context, report);
  for (const Unit* function : watched) Watch(*function, context);
  WatchGone(context);
  tables.watched = std::move(context.watched);
  tables.still_called = lasting.still_called();
  tables.gone_types = std::move(layouts.gone);
  report.findings = findings.all();
  if (report.is_refused() || report.is_empty() || request.output.empty()) {
    return report;
  }
  tables.update_name = request.name;
  tables.state = &state;
  tables.report = ToJson(report);
  INSTAR_RETURN_IF_ERROR(WriteModule(request, payloads, tables));
  return report;
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// All processes of one program, as those of a prefork server, or all that use a
// shared object, updated together.
//
//   INSTAR_ASSIGN_OR_RETURN(Processes processes, Processes::Find("nginx"));
//   return processes.Load("/tmp/fix.so", std::chrono::seconds(30)).code;
//
// An update is checked in every process first, and nothing is changed if one
// refuses it; then it is applied in one after the other, and taken back where
// it was applied if one fails. There is no moment at which all change.
// Processes that end meanwhile are passed over. Those that are forked meanwhile
// have what their parent had at that moment; they are looked for again when all
// others are done, until there is none without the update.
//
// What happens in each process is printed, a line for each.
//
// A signal (console.h) does not end it half way: what is being loaded
// is cancelled, and what was applied is taken back. A second one leaves things
// as they are, and the message says where the update is.
//
// Threads: one.

#ifndef INSTAR_TOOLS_INSTARCTL_PROCESSES_H_
#define INSTAR_TOOLS_INSTARCTL_PROCESSES_H_

#include <sys/types.h>

#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "manager/control/control_client.h"
#include "manager/control/socket_directory.h"

namespace instar {
namespace instarctl {

class Processes {
 public:
  // What comes of it, and whether a process is otherwise than before though it
  // has failed.
  struct Outcome {
    absl::Status status;
    bool is_left = false;
  };

  // Those of this name, each with a manager. Errors: NotFound if there are
  // none, or, without a name, if there are programs of several; those of
  // Wake().
  static absl::StatusOr<Processes> Find(const std::string& name);

  // Those that have loaded a shared object of this soname, name or path,
  // in a build of `build_ids`, if there are any; says which ones have it in
  // another build.
  static absl::StatusOr<Processes> FindUsing(
      const std::string& library, std::vector<std::string> build_ids);

  const std::vector<RunningProgram>& all() const { return all_; }

  absl::Status Check(const std::string& path, bool without_stacks);
  Outcome Load(const std::string& path, std::chrono::nanoseconds timeout);

  // In parts, for who does something between them. Those that lack the update
  // of the module, from the `first` on, all of which would take it.
  absl::StatusOr<std::vector<RunningProgram>> FindLacking(
      const std::string& path, const std::string& update, std::size_t first);
  // Ends at the first that does not take it; `applied` gets those that have.
  static absl::Status LoadInto(absl::Span<const RunningProgram> processes,
                               const std::string& path,
                               const std::string& update,
                               std::chrono::nanoseconds timeout,
                               std::vector<RunningProgram>* applied);
  // The same in those that lack it, and in what they fork meanwhile.
  absl::Status LoadIntoAll(const std::string& path, const std::string& update,
                           std::chrono::nanoseconds timeout,
                           std::vector<RunningProgram>* applied);
  // In these, and in those that they have forked since they were found. Whether
  // it is in none of them any more.
  bool TakeBack(std::vector<RunningProgram> applied, const std::string& update,
                std::chrono::nanoseconds timeout);

  // The latest update; its name is that of the first process if it is empty.
  // Where another one is the latest, it is refused; where it is undone stays
  // so.
  absl::Status Undo(std::string update, std::chrono::nanoseconds timeout);
  absl::Status Status();

 private:
  explicit Processes(std::string name) : name_(std::move(name)) {}

  // Finds those that are not known yet; how many.
  absl::StatusOr<std::size_t> FindMore();
  // Whether it has loaded the shared object.
  bool Uses(const RunningProgram& process) const;
  // Calls it for each process that has not ended.
  static absl::Status ForEach(
      absl::Span<const RunningProgram> processes,
      absl::FunctionRef<absl::Status(const RunningProgram&, ControlClient&)>
          act);
  std::string name_;
  std::string library_;  // empty: all of the program `name_`
  std::vector<std::string> build_ids_;
  std::vector<RunningProgram> all_;
  std::set<pid_t> passed_over_;
};

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_PROCESSES_H_

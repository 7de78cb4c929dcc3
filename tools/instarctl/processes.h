// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// All processes of one program, as those of a prefork server, updated together.
//
//   INSTAR_ASSIGN_OR_RETURN(Processes processes, Processes::Find("nginx"));
//   return processes.Load("/tmp/fix.so", std::chrono::seconds(30));
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
// Threads: one. A signal does not end it half way.

#ifndef INSTAR_TOOLS_INSTARCTL_PROCESSES_H_
#define INSTAR_TOOLS_INSTARCTL_PROCESSES_H_

#include <chrono>
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
  // Those of this name, each with a manager. Errors: NotFound if there are
  // none, or, without a name, if there are programs of several; those of
  // Wake().
  static absl::StatusOr<Processes> Find(const std::string& name);

  const std::vector<RunningProgram>& all() const { return all_; }

  absl::Status Check(const std::string& path, bool without_stacks);
  absl::Status Load(const std::string& path, std::chrono::nanoseconds timeout);

  // In parts, for who does something between them. Those that lack the update
  // of the module, from the `first` on, all of which would take it.
  absl::StatusOr<std::vector<RunningProgram>> FindLacking(
      const std::string& path, const std::string& update, std::size_t first);
  // Ends at the first that does not take it; `applied` gets those that have.
  static absl::Status LoadInto(absl::Span<const RunningProgram> processes,
                               const std::string& path,
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
  // Calls it for each process that has not ended.
  static absl::Status ForEach(
      absl::Span<const RunningProgram> processes,
      absl::FunctionRef<absl::Status(const RunningProgram&, ControlClient&)>
          act);
  std::string name_;
  std::vector<RunningProgram> all_;
};

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_PROCESSES_H_

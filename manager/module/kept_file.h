// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The file of a loaded module, under a name that lasts: debuggers, profilers
// and whoever reads a core dump find it by the name that the dynamic linker and
// the kernel know. It goes when the module is unloaded or the process exits; a
// process that crashes leaves it, for its core dump, and RemoveLeftFiles()
// removes it later.
//
// Threads: any; each KeptFile by one at a time.

#ifndef INSTAR_MANAGER_MODULE_KEPT_FILE_H_
#define INSTAR_MANAGER_MODULE_KEPT_FILE_H_

#include <sys/types.h>

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace instar {
namespace manager_internal {

class KeptFile {
 public:
  KeptFile() = default;  // none
  // Makes a file that this user alone can read and write, and has `fill` write
  // it. One of that path that is there already is somebody's who has gone.
  // FailedPrecondition if it cannot be made, with `fill`'s error if that fails.
  static absl::StatusOr<KeptFile> Make(
      const std::string& path, absl::FunctionRef<absl::Status(int file)> fill);
  KeptFile(KeptFile&& other) noexcept;
  KeptFile& operator=(KeptFile&& other) noexcept;  // exchanges the two
  ~KeptFile() { Remove(); }

  void Remove();

  const std::string& path() const { return path_; }  // empty: none
  // Whether code can be mapped from it: a file system may be mounted so that it
  // cannot (noexec).
  bool is_executable() const { return is_executable_; }

 private:
  std::string path_;
  bool is_executable_ = false;
};

// What a process of this number calls its modules' files in this folder:
// FOLDER/PROGRAM.PID. is what they begin with.
std::string KeptFilePrefix(const std::string& folder,
                           const std::string& program, pid_t process);

// Removes files of that form whose process is gone, and which are a week old.
void RemoveLeftFiles(const std::string& folder);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_KEPT_FILE_H_

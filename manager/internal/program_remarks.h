// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is to be said of the running program, whatever the update: whether its
// code can be changed at all, what it was built with that updates cannot rely
// on, and which redirected functions somebody else has changed. Internal to
// this package.
//
// Threads: any.

#ifndef INSTAR_MANAGER_INTERNAL_PROGRAM_REMARKS_H_
#define INSTAR_MANAGER_INTERNAL_PROGRAM_REMARKS_H_

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace instar {
namespace manager_internal {

class ProgramRemarks {
 public:
  // Whether changes of code have an effect; asks until there is an answer. It
  // opens what changing code needs, which may be impossible once the program
  // has changed its user.
  absl::Status Patching();
  // An error if no change of code ever has one: then no update is applied. What
  // is forbidden to write its code may still be updated by a Redefinable.
  absl::Status CheckEffect();

  // Reads the program's file.
  void CheckBuild();

  // Looks at the functions that are redirected, and puts right what it can.
  void CheckEntries();

  // The module of this update was kept, though the same one was there already,
  // because it `why`.
  void ModuleTakesMemoryAgain(const std::string& update,
                              const std::string& why);

  // Anything else, to be told from now on.
  void Note(std::string remark);

  // One sentence each.
  std::vector<std::string> All() const;

 private:
  // Held while it is asked, which may read the program's file: whoever only
  // wants to know what is known does not wait for that.
  std::mutex probing_;
  mutable std::mutex lock_;  // of the rest
  bool has_probed_ = false;
  absl::Status patching_;
  std::vector<std::string> build_;
  std::vector<std::string> noted_;
  std::vector<std::string> changed_;   // as of the last CheckEntries()
  std::vector<std::string> restored_;  // each once
  struct Again {
    int times = 0;
    std::string why;
  };
  std::map<std::string, Again> again_;  // by update
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_PROGRAM_REMARKS_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What instar-diff has to say of a pair of builds, besides what has changed.

#ifndef INSTAR_TOOLS_DIFFER_FINDINGS_H_
#define INSTAR_TOOLS_DIFFER_FINDINGS_H_

#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/string_view.h"

namespace instar {
namespace differ {

enum class Severity {
  kNote,     // worth knowing
  kWarning,  // the new build behaves otherwise in this
  kRefusal,  // no module is made
};

struct Finding {
  Severity severity;
  std::string object;  // whose source it is about; empty: of all
  std::string message;
};

class Findings {
 public:
  // Adds it, unless it has been said.
  void Add(Severity severity, absl::string_view object, std::string message);
  void Note(absl::string_view object, std::string message) {
    Add(Severity::kNote, object, std::move(message));
  }
  void Warn(absl::string_view object, std::string message) {
    Add(Severity::kWarning, object, std::move(message));
  }
  void Refuse(absl::string_view object, std::string message) {
    Add(Severity::kRefusal, object, std::move(message));
  }

  const std::vector<Finding>& all() const { return all_; }

 private:
  std::vector<Finding> all_;
  std::set<std::tuple<Severity, std::string, std::string>> known_;
};

// "a, b, c and 7 more".
std::string Listed(const std::vector<std::string>& names);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FINDINGS_H_

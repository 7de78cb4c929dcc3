// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/known_names.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <new>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fork_mutex.h"
#include "base/similar_names.h"

namespace instar {
namespace {

constexpr std::size_t kMostNames = 1000;

class Names {
 public:
  void Note(absl::string_view name) {
    const std::size_t hash =
        std::hash<std::string_view>()({name.data(), name.size()}) | 1;
    // Relaxed: whoever asks for names takes the lock.
    std::atomic<std::size_t>& recent = recent_[hash / 2 % recent_.size()];
    if (recent.load(std::memory_order_relaxed) == hash) return;
    try {
      const auto known = known_.Lock();
      if (!std::exchange(known->is_used, true)) {
        // Of a child of fork(), where another thread was about it.
        for (auto& noted : recent_) noted.store(0, std::memory_order_relaxed);
      }
      if (known->names.size() < kMostNames) {
        known->names.emplace(name);
      } else if (known->names.count(name) == 0) {
        known->are_all = false;
      }
    } catch (const std::bad_alloc&) {
      return;  // it is noted the next time
    }
    recent.store(hash, std::memory_order_relaxed);
  }

  // Whether it may be one of them; if not, `all` are.
  bool Has(absl::string_view name, std::vector<std::string>* all) {
    const auto known = known_.Lock();
    if (!known->are_all || known->names.count(name) != 0) return true;
    all->assign(known->names.begin(), known->names.end());
    return false;
  }

 private:
  struct Known {
    std::set<std::string, std::less<>> names;
    bool are_all = true;
    bool is_used = false;
  };

  ForkGuarded<Known> known_;
  // Hashes of names that have been noted; 0 is none.
  std::array<std::atomic<std::size_t>, 64> recent_{};
};

Names thread_names;
Names point_names;

}  // namespace

void DeclareThread(absl::string_view name) {
  threads_internal::NoteThread(name);
}

void DeclareUpdatePoint(absl::string_view name) {
  threads_internal::NoteUpdatePoint(name);
}

namespace threads_internal {

void NoteThread(absl::string_view name) { thread_names.Note(name); }

void NoteUpdatePoint(absl::string_view name) { point_names.Note(name); }

absl::Status CheckThreadName(absl::string_view name) {
  std::vector<std::string> all;
  if (thread_names.Has(name, &all)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(
      "no controlled thread of this program is, or was, called '", name, "'",
      SimilarNamesText(name, all),
      "; a program whose threads start later says so by DeclareThread() "
      "(threads/known_names.h)"));
}

std::string RemarkOnUpdatePoint(absl::string_view name) {
  std::vector<std::string> all;
  if (point_names.Has(name, &all)) return "";
  return absl::StrCat("no thread has come to an update point '", name,
                      "' so far, and none is declared",
                      all.empty() ? "" : SimilarNamesText(name, all));
}

}  // namespace threads_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/mapping_kind.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace manager_internal {
namespace {

bool BeginsWithOne(absl::string_view path,
                   std::initializer_list<absl::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [path](absl::string_view prefix) {
                       return absl::StartsWith(path, prefix);
                     });
}

}  // namespace

MappingKind KindOf(const Mapping& mapping) {
  const absl::string_view path = mapping.path;
  if (path == "[uprobes]") return MappingKind::kProbes;
  if (absl::StartsWith(path, "[v")) {  // [vdso], [vvar], [vsyscall], ...
    return MappingKind::kNothing;
  }
  const bool is_shared_memory =
      BeginsWithOne(path, {"/dev/zero", "/dev/shm/", "/memfd:", "/SYSV"});
  const bool is_huge =
      BeginsWithOne(path, {"/anon_hugepage", "/dev/hugepages/"});
  if (!is_shared_memory && !is_huge &&
      BeginsWithOne(path, {"/dev/", "/sys/", "/proc/", "anon_inode:", "/[aio]",
                           "/dmabuf:"})) {
    return MappingKind::kUnreadable;
  }
  if (!mapping.shared) return MappingKind::kPrivate;
  if (is_huge) return MappingKind::kSharedHuge;
  if (is_shared_memory || !absl::StartsWith(path, "/")) {
    return MappingKind::kShared;
  }
  return mapping.writable ? MappingKind::kFile : MappingKind::kNothing;
}

}  // namespace manager_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/archive.h"

#include <ar.h>
#include <libelf.h>

#include <map>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {

bool IsThinArchive(absl::string_view bytes) {
  return absl::StartsWith(bytes, "!<thin>\n");
}

absl::StatusOr<std::vector<ArchiveMember>> MembersOf(absl::string_view bytes) {
  if (IsThinArchive(bytes)) return std::vector<ArchiveMember>();
  elf_version(EV_CURRENT);
  // It only reads them.
  Elf* const archive =
      elf_memory(const_cast<char*>(bytes.data()), bytes.size());
  if (archive == nullptr || elf_kind(archive) != ELF_K_AR) {
    elf_end(archive);
    return absl::InvalidArgumentError("is no static library");
  }
  absl::Cleanup end_archive = [archive] { elf_end(archive); };
  std::vector<ArchiveMember> members;
  std::map<std::string, int> count;
  Elf_Cmd command = ELF_C_READ_MMAP;  // as elf_memory() does
  while (Elf* const member = elf_begin(-1, command, archive)) {
    absl::Cleanup end_member = [member] { elf_end(member); };
    const Elf_Arhdr* const header = elf_getarhdr(member);
    std::size_t size = 0;
    const char* const start = elf_rawfile(member, &size);
    if (header == nullptr || header->ar_name == nullptr || start == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("is a damaged static library: ", elf_errmsg(-1)));
    }
    std::string name = header->ar_name;
    if (name != "/" && name != "//") {
      const int number = ++count[name];
      if (number > 1) absl::StrAppend(&name, "#", number);
      members.push_back({std::move(name), {start, size}});
    }
    command = elf_next(member);
  }
  return members;
}

std::optional<MemberPath> SplitMemberPath(absl::string_view path) {
  const std::size_t open = path.rfind(".a(");
  if (open == absl::string_view::npos || !absl::EndsWith(path, ")")) {
    return std::nullopt;
  }
  return MemberPath{std::string(path.substr(0, open + 2)),
                    std::string(path.substr(open + 3, path.size() - open - 4))};
}

std::string JoinMemberPath(absl::string_view archive,
                           absl::string_view member) {
  return absl::StrCat(archive, "(", member, ")");
}

}  // namespace differ
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/linux/own_descriptor.h"
#include "base/linux/seccomp_filter.h"
#include "base/linux/translator.h"

namespace instar {
namespace {

// Reads a number in `base` and moves *text behind it and one separator.
std::uint64_t TakeNumber(const char** text, int base) {
  char* end = nullptr;
  const std::uint64_t number = std::strtoull(*text, &end, base);
  *text = *end == '\0' ? end : end + 1;
  return number;
}

// proc(5): low-high mode offset major:minor inode, blanks, path.
Mapping Parse(const char* line) {
  Mapping mapping;
  mapping.low = TakeNumber(&line, 16);
  mapping.high = TakeNumber(&line, 16);
  mapping.readable = line[0] == 'r';
  mapping.writable = line[1] == 'w';
  mapping.executable = line[2] == 'x';
  mapping.shared = line[3] == 's';
  line += 5;
  mapping.offset = TakeNumber(&line, 16);
  mapping.device_major = static_cast<unsigned>(TakeNumber(&line, 16));
  mapping.device_minor = static_cast<unsigned>(TakeNumber(&line, 16));
  mapping.inode = TakeNumber(&line, 10);
  while (*line == ' ') ++line;
  mapping.path = line;
  return mapping;
}

// struct procmap_query of <linux/fs.h>, which Debian 12 does not have yet.
struct Query {
  std::uint64_t size;
  std::uint64_t query_flags;
  std::uint64_t query_addr;
  // What the kernel answers.
  std::uint64_t vma_start;
  std::uint64_t vma_end;
  std::uint64_t vma_flags;
  std::uint64_t vma_page_size;
  std::uint64_t vma_offset;
  std::uint64_t inode;
  std::uint32_t dev_major;
  std::uint32_t dev_minor;
  // The room for them; 0: none is wanted. The kernel answers what it takes.
  std::uint32_t vma_name_size;
  std::uint32_t build_id_size;
  std::uint64_t vma_name_addr;
  std::uint64_t build_id_addr;
};
static_assert(sizeof(Query) == 104, "as the kernel has it");
constexpr unsigned long kQuery = _IOWR('f', 17, Query);
// Of `vma_flags`, and of those to be found.
constexpr std::uint64_t kReadable = 1, kWritable = 2, kExecutable = 4,
                        kShared = 8;
// Of `query_flags`: the mapping that has the address, or the first behind it.
constexpr std::uint64_t kOrNext = 0x10;
constexpr std::uint64_t kOfAFile = 0x20;

Query MakeQuery(std::uintptr_t address, std::uint64_t flags) {
  Query query = {};
  query.size = sizeof(query);
  query.query_flags = flags;
  query.query_addr = address;
  return query;
}

Mapping ToMapping(const Query& answer) {
  Mapping mapping;
  mapping.low = answer.vma_start;
  mapping.high = answer.vma_end;
  mapping.readable = (answer.vma_flags & kReadable) != 0;
  mapping.writable = (answer.vma_flags & kWritable) != 0;
  mapping.executable = (answer.vma_flags & kExecutable) != 0;
  mapping.shared = (answer.vma_flags & kShared) != 0;
  mapping.offset = answer.vma_offset;
  mapping.device_major = answer.dev_major;
  mapping.device_minor = answer.dev_minor;
  mapping.inode = answer.inode;
  return mapping;
}

}  // namespace

MappingQuery::MappingQuery() {
  if (IsTranslated() || CountSeccompFilters() != 0) return;
  file_ = OwnDescriptor(open(OwnMappingsFile(), O_RDONLY | O_CLOEXEC));
  number_ = file_.number();
}

MappingQuery::Answer MappingQuery::Find(std::uintptr_t address,
                                        Mapping* mapping) const {
  if (number_ < 0) return Answer::kNotTold;
  Query query = MakeQuery(address, 0);
  if (ioctl(number_, kQuery, &query) != 0) {
    return errno == ENOENT ? Answer::kNothingThere : Answer::kNotTold;
  }
  *mapping = ToMapping(query);
  return Answer::kFound;
}

MappingQuery::Answer MappingQuery::FindCode(std::uintptr_t address,
                                            Mapping* mapping,
                                            absl::Span<char> room) const {
  if (number_ < 0) return Answer::kNotTold;
  Query query = MakeQuery(address, kOrNext | kOfAFile | kExecutable);
  query.vma_name_addr = reinterpret_cast<std::uintptr_t>(room.data());
  query.vma_name_size = static_cast<std::uint32_t>(room.size());
  if (ioctl(number_, kQuery, &query) != 0) {
    return errno == ENOENT ? Answer::kNothingThere : Answer::kNotTold;
  }
  *mapping = ToMapping(query);
  // Its size counts the zero behind it.
  if (query.vma_name_size > 0) {
    mapping->path = {room.data(), query.vma_name_size - std::size_t{1}};
  }
  return Answer::kFound;
}

bool VisitMappings(absl::FunctionRef<bool(const Mapping&)> visit) {
  // Many pages may take a millisecond, in which a program may close all
  // descriptors, as daemons do, and open another file under the number.
  OwnDescriptor kept(open(OwnMappingsFile(), O_RDONLY | O_CLOEXEC));
  const int file = kept.number();
  if (file < 0) return false;
  char buffer[4096];
  std::size_t filled = 0;
  bool more = true;
  ssize_t got = 0;
  while (more) {
    got = read(file, buffer + filled, sizeof(buffer) - 1 - filled);
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
    buffer[filled] = '\0';
    char* line = buffer;
    while (char* const end = more ? std::strchr(line, '\n') : nullptr) {
      *end = '\0';
      more = visit(Parse(line));
      line = end + 1;
    }
    filled = static_cast<std::size_t>(buffer + filled - line);
    std::memmove(buffer, line, filled);
    if (filled < sizeof(buffer) - 1) continue;
    // A line that does not fit: what stands in the buffer is visited, and the
    // rest of its path is passed over.
    if (more) more = visit(Parse(buffer));
    char next = '\0';
    while ((got = read(file, &next, 1)) == 1 && next != '\n') {
    }
    filled = 0;
  }
  kept.Close();  // keeps errno
  return got >= 0;
}

bool VisitMappedCode(absl::FunctionRef<bool(const Mapping&)> visit) {
  std::uintptr_t begin = 0;
  {
    const MappingQuery query;
    char path[PATH_MAX];
    Mapping mapping;
    auto answer = query.FindCode(begin, &mapping, absl::MakeSpan(path));
    while (answer == MappingQuery::Answer::kFound) {
      if (!visit(mapping)) return true;
      begin = mapping.high;
      answer = query.FindCode(begin, &mapping, absl::MakeSpan(path));
    }
    if (answer == MappingQuery::Answer::kNothingThere) return true;
  }
  // The rest is in the list: all of it, or from a path that is too long on.
  return VisitMappings([&](const Mapping& mapping) {
    if (mapping.low < begin || !mapping.executable || mapping.inode == 0) {
      return true;
    }
    return visit(mapping);
  });
}

}  // namespace instar

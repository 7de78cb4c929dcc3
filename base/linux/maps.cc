// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/linux/own_descriptor.h"
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
  line += 5;
  mapping.offset = TakeNumber(&line, 16);
  mapping.device_major = static_cast<unsigned>(TakeNumber(&line, 16));
  mapping.device_minor = static_cast<unsigned>(TakeNumber(&line, 16));
  mapping.inode = TakeNumber(&line, 10);
  while (*line == ' ') ++line;
  mapping.path = line;
  return mapping;
}

}  // namespace

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

}  // namespace instar

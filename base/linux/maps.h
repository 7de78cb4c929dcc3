// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The mappings of this process.
//
//   VisitMappings([&](const Mapping& mapping) {
//     return !mapping.Contains(address);      // ends where it is found
//   });
//
// Works in a process whose first thread has ended. Allocates nothing and takes
// no lock of the program, so that it can be used while other threads are
// stopped.

#ifndef INSTAR_BASE_LINUX_MAPS_H_
#define INSTAR_BASE_LINUX_MAPS_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/linux/own_descriptor.h"

namespace instar {

struct Mapping {
  std::uintptr_t low = 0;   // of its first byte
  std::uintptr_t high = 0;  // behind its last one
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;       // changes go to the file, or to other processes
  std::uint64_t offset = 0;  // in the file, in bytes
  unsigned device_major = 0;
  unsigned device_minor = 0;
  std::uint64_t inode = 0;
  // A file's path, with " (deleted)" behind it if it has been removed; a name
  // in brackets; or empty. Cut off at 3,500 bytes. Valid during the visit.
  absl::string_view path;

  bool Contains(std::uintptr_t address) const {
    return address >= low && address < high;
  }
};

// Calls `visit` for each mapping, by rising address, until it answers false.
// Mappings that change meanwhile may be missed or listed as they were. Returns
// false, with errno set, if the mappings cannot be read.
bool VisitMappings(absl::FunctionRef<bool(const Mapping&)> visit);

// The mappings of single addresses, asked of the kernel (PROCMAP_QUERY of Linux
// 6.11): a microsecond each, where the list takes half of one for each mapping
// that there is. To be used at once: it keeps a file open.
class MappingQuery {
 public:
  MappingQuery();

  enum class Answer {
    kFound,
    kNothingThere,
    // By this kernel, or it is not asked: a seccomp filter is in force, and may
    // end the process for an ioctl(2) that it does not know. The list has it.
    kNotTold,
  };
  // Without a path.
  Answer Find(std::uintptr_t address, Mapping* mapping) const;

  // The mapping of a file's code that has the address, or the first behind it.
  // Its path, of less than PATH_MAX bytes, is put into `room`; kNotTold also if
  // that is too small.
  Answer FindCode(std::uintptr_t address, Mapping* mapping,
                  absl::Span<char> room) const;

 private:
  OwnDescriptor file_;
  int number_ = -1;  // of it; -1: nobody is asked
};

// As VisitMappings(), of the mappings of files that are executable: a
// microsecond each where the kernel is asked for single ones.
bool VisitMappedCode(absl::FunctionRef<bool(const Mapping&)> visit);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_MAPS_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the server keeps: entries by their keys, in parts with a lock each, so
// that clients that want different keys seldom wait for each other.
//
//   Part& part = PartOf(key);
//   const std::lock_guard<std::mutex> hold(part.lock);
//   if (const Entry* const entry = Read(part, key)) Send(entry->value);
//
// Entries are used through lazy proxies (heap/lazy_proxy.h), and under the lock
// of their part alone, so that they may be converted in any way. Each has room
// for 32 bytes more.
//
// Threads: any. Those who call Find() and Read() hold the part's lock.

#ifndef INSTAR_EXAMPLES_GINSENG_STORE_H_
#define INSTAR_EXAMPLES_GINSENG_STORE_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "heap/lazy_proxy.h"
#include "heap/updatable.h"

namespace ginseng {

struct Entry : instar::Updatable<Entry> {
  std::string value;
  std::uint32_t flags = 0;   // the client's
  std::uint64_t unique = 0;  // another one whenever the value changes
};

struct Part {
  std::mutex lock;  // of what follows
  std::map<std::string, instar::LazyUnique<Entry>> entries;
};
extern std::array<Part, 64> parts;
Part& PartOf(const std::string& key);

// What no entry has had.
std::uint64_t NextUnique();

// What the update replaces. `expiry` is when a client says that the entry
// expires, which nobody heeds yet.
Entry* Find(Part& part, const std::string& key);        // null: there is none
const Entry* Read(Part& part, const std::string& key);  // for a client
std::unique_ptr<Entry> MakeEntry(std::string value, std::uint32_t flags,
                                 std::int64_t expiry);

}  // namespace ginseng

#endif  // INSTAR_EXAMPLES_GINSENG_STORE_H_

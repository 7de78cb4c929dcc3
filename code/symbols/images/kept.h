// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is made of something that is never destroyed (the table of an object's
// symbols, say) when it is first asked for, and kept for as long as the process
// lives.
//
//   static Kept<SymbolTable, std::vector<const char*>> all;
//   return all.Of(symbols, [&] { return PartsIn(symbols); });
//
// Threads: any. `make` runs under the lock of all that is kept there; it must
// not ask for more of that.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_KEPT_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_KEPT_H_

#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/fork_mutex.h"

namespace instar {
namespace code_internal {

template <typename Key, typename Value>
class Kept {
 public:
  // `make` returns a Value. If it throws, nothing is kept.
  template <typename Make>
  const Value& Of(const Key& key, Make make) {
    const auto all = all_.Lock();
    std::unique_ptr<const Value>& kept = (*all)[&key];
    if (kept == nullptr) kept = std::make_unique<const Value>(make());
    return *kept;
  }

 private:
  ForkGuarded<absl::flat_hash_map<const Key*, std::unique_ptr<const Value>>>
      all_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_KEPT_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A pointer to an object of an updatable class that converts the object at the
// first access after an update: lazy conversion of PyMoult (HotSWUP'13),
// section 2.3, as in Ginseng.
//
//   std::map<std::string, instar::LazyUnique<Product>> products;
//   products.emplace("apple", std::make_unique<Product>("apple", 3));
//   products.at("apple")->Sell(1);
//
//   LazyProxy<T>    a plain pointer: whoever owns the object keeps owning it
//   LazyUnique<T>   owns the object as std::unique_ptr<T> does
//   LazyShared<T>   ... as std::shared_ptr<T> does
//
// An access finds out with one comparison that nothing has changed since this
// proxy was last used. If something has, it looks at the object's own version
// and converts it if need be; of several threads that arrive together one
// converts and the others wait. If Convert() fails, the access gives the object
// as it was, and does so from then on; status shows it, ConvertObject()
// (heap/conversion.h) tries again, and tells why.
//
// The rules for a class that is converted lazily or progressively:
//   * It is used through proxies. A plain pointer or reference to an object
//     (also what get(), -> and * give) is not kept across a moment in which an
//     update may be applied: another thread may convert the object later.
//   * Destroying an object is a use. LazyUnique destroys properly; so does
//     LazyShared, as long as all its owners are proxies. For an object that a
//     LazyProxy points to, call Delete().
//   * new T made by old code may be used at once by the thread that made it.
// Where nothing is ever converted behind the program's back (eager conversion)
// plain pointers are fine.
//
// Threads: a proxy is as safe as the pointer in it: several threads may use
// one at the same time, none may assign it meanwhile. Two proxies of one
// object may be used by two threads. An access is an acquire: what the thread
// that converted the object wrote is seen.

#ifndef INSTAR_HEAP_LAZY_PROXY_H_
#define INSTAR_HEAP_LAZY_PROXY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "heap/internal/updatable_class.h"
#include "heap/internal/version_record.h"
#include "heap/updatable.h"

namespace instar {

template <typename T, typename Holder = T*>
class LazyProxy {
  static_assert(std::is_same_v<Holder, T*> ||
                    std::is_same_v<Holder, std::unique_ptr<T>> ||
                    std::is_same_v<Holder, std::shared_ptr<T>>,
                "instar: a LazyProxy holds a T*, a std::unique_ptr<T> or a "
                "std::shared_ptr<T>");
  static constexpr bool kOwns = !std::is_same_v<Holder, T*>;
  static constexpr bool kShares = std::is_same_v<Holder, std::shared_ptr<T>>;

 public:
  LazyProxy() noexcept : holder_() {}
  LazyProxy(std::nullptr_t) noexcept : holder_() {}  // NOLINT
  LazyProxy(Holder holder) noexcept                  // NOLINT
      : holder_(std::move(holder)) {}
  // None if the holder has none: deleted, so that traits tell the truth.
  LazyProxy(const LazyProxy& other) = default;
  LazyProxy(LazyProxy&& other) noexcept
      : holder_(std::exchange(other.holder_, Holder())), seen_(other.seen_) {}
  LazyProxy& operator=(LazyProxy other) noexcept {
    std::swap(holder_, other.holder_);
    std::swap(seen_, other.seen_);
    return *this;
  }
  ~LazyProxy() {
    if constexpr (kOwns) Release();
  }

  // The object, converted; null if there is none.
  T* get() const {
    T* object = Raw();
    // Partner: the release in Install() and TakeBack(): with the generation
    // comes the version. seen_ was stored with release after the object had
    // been found converted, so that a second thread that uses this proxy and
    // finds it equal sees the converted object too.
    if (__builtin_expect(seen_.load() != Generation(), 0)) {
      LookClosely(object);
    }
    return object;
  }
  T* operator->() const { return get(); }
  T& operator*() const { return *get(); }
  explicit operator bool() const { return holder_ != nullptr; }

  // Which object it is, without using it.
  T* address() const { return Raw(); }

  // Lets go of what it owns (a LazyProxy<T> of nothing) and is null.
  void reset() {
    if constexpr (kOwns) Release();
    holder_ = Holder();
  }

  // Destroys the object of a plain LazyProxy<T>; the proxy is null then.
  void Delete() {
    static_assert(!kOwns, "instar: use reset()");
    T* object = std::exchange(holder_, nullptr);
    if (object == nullptr) return;
    ClaimIfPending(object);
    delete object;
  }

  template <typename Other>
  bool operator==(const Other& other) const {
    return Address(other) == Raw();
  }
  template <typename Other>
  bool operator!=(const Other& other) const {
    return !(*this == other);
  }

 private:
  template <typename U, typename H>
  friend class LazyProxy;

  T* Raw() const {
    if constexpr (kOwns) {
      return holder_.get();
    } else {
      return holder_;
    }
  }
  template <typename H>
  static T* Address(const LazyProxy<T, H>& other) {
    return other.Raw();
  }
  static T* Address(T* other) { return other; }
  static T* Address(std::nullptr_t) { return nullptr; }

  static std::uint32_t Generation() {
    return T::Class()->generation.load(std::memory_order_acquire);
  }
  static void* Start(T* object) {
    return static_cast<typename T::UpdatableRoot*>(object);
  }

  __attribute__((noinline)) void LookClosely(T* object) const {
    if (object == nullptr) return;
    heap_internal::UpdatableClass* root = T::Class();
    const std::uint32_t generation = Generation();
    heap_internal::ConvertAtAccess(root, Start(object));
    seen_.store(generation);
  }

  // Keeps a sweep away from an object that ends. One that is of the latest
  // version already is not touched by any.
  void ClaimIfPending(T* object) {
    if (seen_.load() != Generation()) {
      heap_internal::ClaimForDestruction(T::Class(), Start(object));
    }
  }

  void Release() {
    T* object = Raw();
    if (object == nullptr) return;
    if constexpr (kShares) {
      // Whoever is last destroys: converted, nobody else touches it.
      get();
    } else {
      ClaimIfPending(object);
    }
  }

  // The generation of the class in which the object was known to be of the
  // latest version; 0 is none. A copy knows as much.
  class Seen {
   public:
    Seen() = default;
    Seen(const Seen& other) : generation_(other.load()) {}
    Seen& operator=(const Seen& other) {
      store(other.load());
      return *this;
    }
    std::uint32_t load() const {
      return generation_.load(std::memory_order_acquire);
    }
    void store(std::uint32_t generation) {
      generation_.store(generation, std::memory_order_release);
    }

   private:
    std::atomic<std::uint32_t> generation_{0};
  };

  Holder holder_;
  mutable Seen seen_;
};

template <typename T>
using LazyUnique = LazyProxy<T, std::unique_ptr<T>>;
template <typename T>
using LazyShared = LazyProxy<T, std::shared_ptr<T>>;

}  // namespace instar

#endif  // INSTAR_HEAP_LAZY_PROXY_H_

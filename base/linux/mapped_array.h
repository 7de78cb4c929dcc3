// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An array that grows where nothing may be allocated, since a thread that is
// held may own the allocator's lock (base/no_allocation.h): its memory comes
// from mmap(), by the system call.
//
//   MappedArray<StackSnapshot> stacks;
//   if (!stacks.Add(snapshot)) ...    // there is no memory
//
// Elements move when it grows. Threads: as one value of its own.

#ifndef INSTAR_BASE_LINUX_MAPPED_ARRAY_H_
#define INSTAR_BASE_LINUX_MAPPED_ARRAY_H_

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace instar {

template <typename T>
class MappedArray {
  static_assert(std::is_trivially_copyable_v<T> &&
                    std::is_trivially_destructible_v<T>,
                "elements are moved as bytes");

 public:
  MappedArray() = default;
  ~MappedArray() { Unmap(); }
  MappedArray(MappedArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }

  // False if there is no memory; nothing is added then.
  bool Add(const T& element) {
    const T copy = element;  // it may be one of them
    if (size_ == capacity_ && !Reserve(size_ + 1)) return false;
    new (data_ + size_++) T(copy);
    return true;
  }

  bool Reserve(std::size_t count) {
    if (count <= capacity_) return true;
    const std::size_t least = kFirstBytes / sizeof(T) + 1;
    std::size_t capacity = 2 * capacity_;
    if (capacity < count) capacity = count;
    if (capacity < least) capacity = least;
    // Populated: it is made before threads are held, and written while they
    // are.
    const long mapped =
        syscall(SYS_mmap, nullptr, capacity * sizeof(T), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (mapped == -1) return false;
    T* const data = reinterpret_cast<T*>(mapped);
    if (size_ > 0) {
      std::memcpy(static_cast<void*>(data), data_, size_ * sizeof(T));
    }
    Unmap();
    data_ = data;
    capacity_ = capacity;
    return true;
  }

  void clear() { size_ = 0; }
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  static constexpr std::size_t kFirstBytes = 4096;

  void Unmap() {
    if (data_ != nullptr) syscall(SYS_munmap, data_, capacity_ * sizeof(T));
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_MAPPED_ARRAY_H_

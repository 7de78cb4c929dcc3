// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A generator: a sequence whose elements are computed by a body that pauses
// after each of them.
//
//   Generator<int> squares("squares", [](auto& yield) {
//     for (int i = 1; i <= 3; ++i) yield(i * i);
//   });
//   for (int square : squares) Use(square);  // 1, 4, 9
//
// An element lives in the body until the next one is asked for, so a loop over
// `T& element` may change it or move it out. An exception that leaves the body
// arrives at whoever asked for the element. A loop that ends early leaves the
// body paused; it is cancelled with the generator.
//
// Lifetime, threads and errors are those of a continulet (continuation/
// continulet.h). A generator is used once: begin() starts it, or goes on where
// an earlier loop stopped, after that loop's last element. Asking for the next
// element invalidates all other iterators, and moving the generator invalidates
// all; to go on after the end is a caller's error.

#ifndef INSTAR_CONTINUATION_GENERATOR_H_
#define INSTAR_CONTINUATION_GENERATOR_H_

#include <cstddef>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "continuation/continulet.h"

namespace instar {

template <typename T>
class Generator {
  using Elements = Continulet<T*()>;  // a null pointer ends the sequence

 public:
  // What the body calls to hand out an element.
  class Yield {
   public:
    Yield(const Yield&) = delete;
    Yield& operator=(const Yield&) = delete;

    void operator()(T& element) { self_.Switch(std::addressof(element)); }
    void operator()(std::remove_const_t<T>&& element) {
      self_.Switch(std::addressof(element));
    }

   private:
    friend class Generator;
    explicit Yield(typename Elements::Self& self) : self_(self) {}
    typename Elements::Self& self_;
  };

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::remove_cv_t<T>;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;

    iterator() = default;
    reference operator*() const { return *element_; }
    pointer operator->() const { return element_; }
    iterator& operator++() {
      element_ = elements_->Switch();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& a, const iterator& b) {
      return a.element_ == b.element_;
    }
    friend bool operator!=(const iterator& a, const iterator& b) {
      return !(a == b);
    }

   private:
    friend class Generator;
    explicit iterator(Elements* elements)
        : elements_(elements), element_(elements->Switch()) {}
    Elements* elements_ = nullptr;
    T* element_ = nullptr;
  };

  // `body` is called as void body(Yield& yield).
  template <typename Body>
  Generator(absl::string_view name, Body body,
            std::size_t stack_size = kDefaultStackSize)
      : elements_(
            name,
            [body = std::move(body)](typename Elements::Self& self) mutable {
              Yield yield(self);
              body(yield);
              return static_cast<T*>(nullptr);
            },
            stack_size) {}

  iterator begin() {
    return elements_.is_pending() ? iterator(&elements_) : iterator();
  }
  iterator end() { return iterator(); }

 private:
  Elements elements_;
};

}  // namespace instar

#endif  // INSTAR_CONTINUATION_GENERATOR_H_

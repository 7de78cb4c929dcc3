// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions of the running program and of the shared objects it has loaded.
//
//   absl::StatusOr<Function> f = Function::Of(&DoCommand);
//   absl::StatusOr<Function> m = Function::Of(&Site::Render);   // virtual too
//   absl::StatusOr<Function> n = Function::Named("shop::(anonymous namespace)"
//                                                "::Price(int)");
//   if (!n.ok()) return n.status();
//   absl::PrintF("%s in %s\n", n->name(), n->image());
//
// A Function is a small value that refers to symbol tables which are read once
// for each file and kept for as long as the process lives. It may outlive the
// object that it was found in; then its addresses mean nothing any more.
//
// Threads: everything may be called from any thread, also while others load and
// unload objects. Of(), AtEntry(), Containing() and Named() take locks, and the
// first call that needs a file reads it (milliseconds): call them, or
// Preload(), before threads are stopped. While threads are stopped, and in
// signal handlers, only what is marked "async-signal-safe" may be called.

#ifndef INSTAR_CODE_SYMBOLS_FUNCTION_H_
#define INSTAR_CODE_SYMBOLS_FUNCTION_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/symbol_table.h"

namespace instar {

struct InlinedCopy;

class Function {
 public:
  // The function that this pointer leads to. One of several overloads is named
  // by its type: Of<int(double)>(&Round).
  // Error: NotFound if no function starts there.
  template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
  static absl::StatusOr<Function> Of(F* function);

  // A member function of class C. Of a virtual one this gives what an object
  // whose class is exactly C would run.
  // Errors: FailedPrecondition if it is pure in C, or if C's virtual table
  // cannot be found because the file was stripped (ask with an object then).
  template <typename C, typename F>
  static absl::StatusOr<Function> Of(F C::*member);

  // What `object` runs when this member function is called on it.
  template <typename C, typename F>
  static absl::StatusOr<Function> Of(F C::*member,
                                     const std::common_type_t<C>& object);

  // The function that starts at this address.
  static absl::StatusOr<Function> AtEntry(uintptr_t entry);

  // The function that has code at this program counter, `f.cold` included. Of a
  // return address, give the address before it: a call that does not return may
  // be the last instruction of its function.
  static absl::StatusOr<Function> Containing(uintptr_t pc);

  // By linkage name (_ZN4shop5PriceEi), qualified name (shop::Price), or with
  // parameter types (shop::Price(int)). Parts `(anonymous namespace)::` and
  // template arguments may be left out if that is not ambiguous. `image`, when
  // given, is the path of the object to search, or how it ends.
  // A name that several objects export means the one that the dynamic linker
  // binds to; an indirect function (IFUNC) means the one it has chosen.
  // A lambda is named by the function that it was written in, its parameters
  // and its number there: shop::Serve(int)::{lambda(int)#2}.
  // Errors: NotFound, with similar names, and the objects that were stripped,
  // or, if it has no code of its own since it was inlined everywhere, with the
  // functions that have it; FailedPrecondition if ambiguous, with the
  // candidates.
  static absl::StatusOr<Function> Named(absl::string_view name,
                                        absl::string_view image = {});

  // The rest is async-signal-safe unless marked otherwise.

  uintptr_t entry() const { return load_base_ + record_->entry; }
  // Bytes from the entry on; 0 if nothing tells.
  size_t size() const { return record_->size; }

  // As the linker knows it; empty if the file was stripped.
  absl::string_view linkage_name() const;
  // All linkage names of this code (complete and base constructor, aliases).
  absl::Span<const char* const> linkage_names() const;
  // For people: demangled, or image and offset. Allocates.
  std::string name() const;

  // The path of the program or shared object.
  absl::string_view image() const { return table_->name(); }
  // Whether calls of it may have been inlined. Not those of a function that
  // other files can replace, given the flags of updatable_cc_library; but
  // instar-cc has them inlined if it is asked to, which the image then notes.
  bool MayBeInlined() const {
    return binding() != SymbolBinding::kGlobal || table_->inlines_external();
  }

  // What the dynamic linker added to the addresses in the file.
  uintptr_t load_base() const { return load_base_; }

  SymbolBinding binding() const { return record_->binding; }

  // Whether there was room for a patch at the entry in the file: five one-byte
  // no-ops or a five-byte one, at a start listed in .eh_frame_hdr. What has
  // been written to memory since makes no difference.
  bool has_patchable_entry() const { return record_->has_patchable_entry; }

  // Where its code is: the stretch from the entry on first, then what the
  // compiler split off, `f.cold`, and the copies named by clones(). Allocates
  // if there are more than four.
  absl::InlinedVector<CodeRange, 4> ranges() const;
  // Whether ranges() contain this address.
  bool Contains(uintptr_t pc) const;

  // The names of copies (`f.constprop.0`, `f.isra.0`) and parts (`f.part.0`)
  // that callers reach without passing the entry.
  absl::Span<const char* const> clones() const;

  // Where this function has been inlined, in any loaded object, from debug
  // information. Takes locks; the first call reads the debug information of all
  // objects (tens of milliseconds for a megabyte of it), so call
  // PreloadInlinedCopies() early.
  // Error: FailedPrecondition if not all copies are known: the source file that
  // defines this function was compiled without debug information; or it is an
  // inline function or a template, and code that was compiled to be updatable
  // (it has patchable entries), or another object that uses the function, has
  // none that can be read.
  // `read` false: only those in objects whose debug information was read
  // before; of others nothing is said. Objects whose code is `watched` as a
  // whole by the caller may hold copies that are not known.
  absl::StatusOr<std::vector<InlinedCopy>> InlinedCopies(
      bool read = true, absl::Span<const CodeRange> watched = {}) const;

  friend bool operator==(const Function& a, const Function& b) {
    return a.entry() == b.entry();
  }
  friend bool operator!=(const Function& a, const Function& b) {
    return !(a == b);
  }
  friend bool operator<(const Function& a, const Function& b) {
    return a.entry() < b.entry();
  }
  template <typename H>
  friend H AbslHashValue(H h, const Function& f) {
    return H::combine(std::move(h), f.entry());
  }

 private:
  friend class FunctionMap;
  friend class FunctionSearch;  // code/symbols/find_functions.h

  // How the Itanium C++ ABI (2.3) lays out a pointer to a member function.
  struct MemberPointer {
    uintptr_t code;  // the function, or 1 + the offset in the virtual table
    ptrdiff_t this_adjustment;
  };

  Function(const code_internal::SymbolTable* table,
           const code_internal::FunctionRecord* record, uintptr_t load_base)
      : table_(table), record_(record), load_base_(load_base) {}

  template <typename C, typename F>
  static MemberPointer Decompose(F C::*member);
  static absl::StatusOr<Function> OfVirtual(MemberPointer member,
                                            const std::type_info& type);
  static absl::StatusOr<Function> OfVirtual(MemberPointer member,
                                            const void* object);
  // What a slot of a virtual table leads to, past `this`-adjusting thunks.
  static absl::StatusOr<Function> OfSlot(uintptr_t address);

  const code_internal::SymbolTable* table_;  // never freed
  const code_internal::FunctionRecord* record_;
  uintptr_t load_base_;
};

// A stretch of code of the function `into` that was compiled from another one.
// One inlined call can have several.
struct InlinedCopy {
  // Whether it stands for copies of which nothing is left but that there are
  // some: it is said to be in the function itself, and to have no code.
  bool IsTraceless(const Function& of) const {
    return into == of && range.begin == range.end;
  }

  Function into;
  CodeRange range;
};

// All functions of the objects that were loaded at one moment: lookups by
// program counter that take no lock.
//
//   const FunctionMap map = FunctionMap::Preload();
//   // ... stop the threads ...
//   std::optional<Function> f = map.Containing(pc);
class FunctionMap {
 public:
  // Reads the symbols of all objects, as far as that was not done yet.
  static FunctionMap Preload();

  // The function that has code at this program counter. Async-signal-safe; a
  // binary search over the objects and another over the functions of one.
  std::optional<Function> Containing(uintptr_t pc) const;

  // Whether no object has been loaded or unloaded since. Takes a lock of the
  // dynamic linker.
  bool IsCurrent() const;

 private:
  explicit FunctionMap(std::shared_ptr<const void> images)
      : images_(std::move(images)) {}

  std::shared_ptr<const void> images_;  // a code_internal::LoadedImages
};

// Reads what Function::Named() needs: an index of all names.
void PreloadNames();

// Reads what Function::InlinedCopies() needs.
void PreloadInlinedCopies();

// Implementation.

template <typename F, std::enable_if_t<std::is_function_v<F>, int>>
absl::StatusOr<Function> Function::Of(F* function) {
  return AtEntry(reinterpret_cast<uintptr_t>(function));
}

template <typename C, typename F>
absl::StatusOr<Function> Function::Of(F C::*member) {
  const MemberPointer pointer = Decompose(member);
  if constexpr (std::is_polymorphic_v<C>) {
    if ((pointer.code & 1) != 0) return OfVirtual(pointer, typeid(C));
  }
  return AtEntry(pointer.code);
}

template <typename C, typename F>
absl::StatusOr<Function> Function::Of(F C::*member,
                                      const std::common_type_t<C>& object) {
  const MemberPointer pointer = Decompose(member);
  if ((pointer.code & 1) != 0) return OfVirtual(pointer, &object);
  return AtEntry(pointer.code);
}

template <typename C, typename F>
Function::MemberPointer Function::Decompose(F C::*member) {
  static_assert(std::is_function_v<F>, "not a pointer to a member function");
  static_assert(sizeof(member) == sizeof(MemberPointer));
  MemberPointer pointer;
  std::memcpy(&pointer, &member, sizeof(pointer));
  return pointer;
}

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_FUNCTION_H_

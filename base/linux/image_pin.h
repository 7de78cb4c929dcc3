// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Keeps an object that the dynamic linker has loaded from being unloaded.
//
//   const ImagePin pin(info.dlpi_name, info.dlpi_addr);
//   if (!pin.ok()) return;  // it has been unloaded meanwhile
//   ... read its memory ...
//
// What dl_iterate_phdr() said of an object holds only until it returns: then
// another thread may unload the object, and another one may take its place and
// its name. A pin that was had, followed by another look at the list, is about
// the object that lies there for as long as the pin exists.
//
// Threads: any. Takes the lock of the dynamic linker that it holds while it
// runs constructors and destructors of objects, so no lock may be held that
// such code may want. The end of a pin may run the destructors of its object.

#ifndef INSTAR_BASE_LINUX_IMAGE_PIN_H_
#define INSTAR_BASE_LINUX_IMAGE_PIN_H_

#include <cstdint>
#include <string>

namespace instar {

class ImagePin {
 public:
  ImagePin() = default;  // of nothing; not ok()
  // `name` and `load_base` as dl_iterate_phdr() gives them; the program has an
  // empty name, and is never unloaded.
  ImagePin(const std::string& name, std::uintptr_t load_base);
  ImagePin(ImagePin&& other) noexcept;
  ImagePin& operator=(ImagePin&& other) noexcept;
  ~ImagePin();

  // False if no object of that name lies there.
  bool ok() const { return ok_; }
  // Whether it is ok(), of this object.
  bool IsOf(const std::string& name, std::uintptr_t load_base) const {
    return ok_ && name_ == name && load_base_ == load_base;
  }

  // The object stays loaded until the process ends, also when this is gone.
  // False if it cannot be had.
  bool ForEver() const;

 private:
  std::string name_;
  std::uintptr_t load_base_ = 0;
  void* handle_ = nullptr;  // of dlopen(); null for the program
  bool ok_ = false;
};

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_IMAGE_PIN_H_

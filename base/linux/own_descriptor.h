// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A file that the library keeps open in somebody else's program.
//
//   OwnDescriptor events(epoll_create1(EPOLL_CLOEXEC));
//   ...
//   const int number = events.number();
//   if (number < 0) ...                  // the program has closed it
//
// or, of what can be opened again:
//
//   const int number = memory.NumberOrOpen(
//       [] { return open("/proc/self/mem", O_RDWR | O_CLOEXEC); });
//   if (number < 0) return Error(errno);
//
// Programs close descriptors that they do not know, closefrom(3) at the start
// of main() say, and the next file that they open gets the number. What is
// written to the number then goes into their file. So the number is asked for
// before each use, and is given only while it stands for the file that was
// taken over. It lies above those that a program comes to use, so that it is
// rarely given away between the question and the use.
//
// How a file is known again: by device, inode and kind, and by a mark, since
// all epolls and eventfds share one inode. The mark is the signal of F_SETSIG,
// which the kernel keeps with the open file, and which has no effect as long as
// nobody sets O_ASYNC. After fork() a child's copy is known, too, for it is the
// same open file: whoever must not share it with the parent asks getpid().
//
// Threads: one at a time; number() from several as long as nothing else is
// called. number(), NumberOrOpen() and Close() allocate nothing, take no lock
// and are async-signal-safe (NumberOrOpen() if `open` is).

#ifndef INSTAR_BASE_LINUX_OWN_DESCRIPTOR_H_
#define INSTAR_BASE_LINUX_OWN_DESCRIPTOR_H_

#include <sys/types.h>

#include <utility>

#include "absl/functional/function_ref.h"

namespace instar {

class OwnDescriptor {
 public:
  constexpr OwnDescriptor() = default;  // none
  // Takes over `descriptor`, which has just been opened and belongs to nobody
  // else; negative means none. number() is another one, with FD_CLOEXEC.
  explicit OwnDescriptor(int descriptor);
  OwnDescriptor(OwnDescriptor&& other) noexcept;
  // Exchanges the two.
  OwnDescriptor& operator=(OwnDescriptor&& other) noexcept;
  ~OwnDescriptor() { Close(); }

  // Its number while it is the file that was taken over, otherwise -1 with
  // errno EBADF. Two system calls.
  int number() const;

  // Whether it is that of a file that was taken over, which may have been
  // closed since.
  bool is_open() const { return number_ >= 0; }

  // number(), or, if that is -1, the number of what `open` opens now, which is
  // taken over. -1 with the errno of `open` if that fails.
  int NumberOrOpen(absl::FunctionRef<int()> open);

  // Closes it, unless the number stands for another file by now, which stays
  // open. Keeps errno.
  void Close();

  // The number, which somebody else closes from now on, or -1.
  int Release();

 private:
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    mode_t kind = 0;
    dev_t special = 0;  // of a device file
    int mark = 0;

    bool operator==(const Identity& other) const {
      return device == other.device && inode == other.inode &&
             kind == other.kind && special == other.special &&
             mark == other.mark;
    }
  };

  static bool Identify(int descriptor, Identity& identity);

  int number_ = -1;
  Identity identity_;
};

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_OWN_DESCRIPTOR_H_

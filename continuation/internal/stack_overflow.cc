// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/internal/stack_overflow.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/fork_mutex.h"
#include "continuation/internal/control_block.h"

namespace instar {
namespace continuation_internal {
namespace {

constexpr std::size_t kSignalStackSize = 64 << 10;  // bytes

struct sigaction previous_action;

// A message put together without the heap; the handler may use nothing else.
class SignalSafeMessage {
 public:
  void Append(const char* text, std::size_t length) {
    if (length > sizeof(buffer_) - size_) length = sizeof(buffer_) - size_;
    std::memcpy(buffer_ + size_, text, length);
    size_ += length;
  }
  void Append(const char* text) { Append(text, std::strlen(text)); }
  void AppendNumber(std::uint64_t number) {
    char digits[20];
    std::size_t first = sizeof(digits);
    do {
      digits[--first] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    Append(digits + first, sizeof(digits) - first);
  }
  void Write() {
    // There is nothing left to try if standard error cannot be written to.
    [[maybe_unused]] const ssize_t written =
        write(STDERR_FILENO, buffer_, size_);
  }

 private:
  char buffer_[512];
  std::size_t size_ = 0;
};

void OnSegmentationFault(int signal, siginfo_t* info, void* context) {
  const ControlBlock* const c = thread_state.current;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (c != nullptr && address >= c->stack.guard_low() &&
      address < c->stack.low()) {
    SignalSafeMessage message;
    message.Append("Instar: continulet '");
    message.Append(c->name, c->name_length);
    message.Append("' overflowed its stack of ");
    message.AppendNumber(c->stack.high() - c->stack.low());
    message.Append(
        " bytes. Give it a larger one: the last argument of the Continulet's "
        "constructor.\n");
    message.Write();
  }
  if (previous_action.sa_flags & SA_SIGINFO) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler == SIG_DFL ||
             previous_action.sa_handler == SIG_IGN) {
    const bool sent = info->si_code <= 0;  // by kill() or the like: no fault
    if (sent && previous_action.sa_handler == SIG_IGN) return;
    // The faulting instruction runs again and ends the program as it would have
    // done without this handler. (A fault that is ignored ends it, too.) What
    // was sent is sent again; it waits until this handler has returned.
    struct sigaction default_action = {};
    default_action.sa_handler = SIG_DFL;
    sigaction(signal, &default_action, nullptr);
    if (sent) raise(signal);
  } else {
    previous_action.sa_handler(signal);
  }
}

}  // namespace

void InstallStackOverflowHandler() {
  static ForkOnce<bool> once;
  const bool installed = once.Get([] {
    struct sigaction action = {};
    action.sa_sigaction = &OnSegmentationFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    struct sigaction present = {};
    INSTAR_CHECK(sigaction(SIGSEGV, nullptr, &present) == 0);
    // It may be installed already, by a thread of the parent of this process.
    if ((present.sa_flags & SA_SIGINFO) != 0 &&
        present.sa_sigaction == &OnSegmentationFault) {
      return true;
    }
    previous_action = present;
    return sigaction(SIGSEGV, &action, nullptr) == 0;
  });
  INSTAR_CHECK(installed) << "sigaction(SIGSEGV) failed";
}

AlternateSignalStack::AlternateSignalStack() {
  stack_t present;
  if (sigaltstack(nullptr, &present) == 0 &&
      (present.ss_flags & SS_DISABLE) == 0) {
    return;
  }
  void* memory = mmap(nullptr, kSignalStackSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return;  // an overflow will end without a message
  stack_t ours = {};
  ours.ss_sp = memory;
  ours.ss_size = kSignalStackSize;
  if (sigaltstack(&ours, nullptr) != 0) {
    munmap(memory, kSignalStackSize);
    return;
  }
  memory_ = memory;
}

AlternateSignalStack::~AlternateSignalStack() {
  if (memory_ == nullptr) return;
  stack_t present;
  if (sigaltstack(nullptr, &present) == 0 && present.ss_sp == memory_) {
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
  munmap(memory_, kSignalStackSize);
}

}  // namespace continuation_internal
}  // namespace instar

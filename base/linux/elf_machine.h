// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the ELF files of this processor say: its machine, and by which types of
// relocations the dynamic linker fills the slots of the global offset table
// (System V ABI, the supplement of each processor).

#ifndef INSTAR_BASE_LINUX_ELF_MACHINE_H_
#define INSTAR_BASE_LINUX_ELF_MACHINE_H_

#include <elf.h>

namespace instar {

#if defined(__x86_64__)
inline constexpr Elf64_Half kOwnElfMachine = EM_X86_64;
inline constexpr char kOwnElfMachineName[] = "x86-64";
inline constexpr Elf64_Xword kJumpSlotRelocation = R_X86_64_JUMP_SLOT;
inline constexpr Elf64_Xword kGlobalDataRelocation = R_X86_64_GLOB_DAT;
#elif defined(__aarch64__)
inline constexpr Elf64_Half kOwnElfMachine = EM_AARCH64;
inline constexpr char kOwnElfMachineName[] = "arm64";
inline constexpr Elf64_Xword kJumpSlotRelocation = R_AARCH64_JUMP_SLOT;
inline constexpr Elf64_Xword kGlobalDataRelocation = R_AARCH64_GLOB_DAT;
#else
#error "the ELF files of this processor are not known here"
#endif

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_ELF_MACHINE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code that is loaded and unloaded. Several modules are made of it, alike but
// for their frames: what is remembered of one is wrong for another that is
// loaded at the same place.

extern "C" void WalkModuleCall(void (*action)(void*), void* argument) {
  volatile char room[INSTAR_MODULE_FRAME];
  room[0] = 1;
  action(argument);
  asm volatile("" ::"r"(room) : "memory");  // not a tail call
}

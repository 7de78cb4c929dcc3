/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * What an author may add to an update that instar-diff makes of two builds:
 * functions of these names in the new source. They are not called by the new
 * program; each may be left out.
 *
 *   #include <instar_hooks.h>
 *
 *   // A new static that has to begin with what the old version knows.
 *   const char* instar_generated_after(void) {
 *     open_connections = CountConnections();
 *     return NULL;
 *   }
 *
 * When they are called:
 *
 *   threads run    | instar_generated_until(), before each attempt
 *   threads stand  | instar_generated_before(), then the functions change,
 *                  | then instar_generated_after()
 *   threads run    | instar_generated_done()
 *
 * and when the update is undone
 *
 *   threads stand  | instar_generated_undo_after(), then the functions change
 *                  | back, then instar_generated_undo_before()
 *
 * While threads stand still they may own any lock of the program, stdio's
 * included: functions that are called then take none. They may allocate. They
 * return NULL, or why the update is to be given up: what was done before is
 * taken back then, and the program is as it was. The text stays until the
 * module is unloaded: it is a literal, say.
 *
 * An update whose instar_generated_before() has no
 * instar_generated_undo_before() cannot be undone, and likewise for "after":
 * write one that does nothing if there is nothing to take back.
 *
 * They may use whatever the new source can use, its static variables and
 * functions too. In C++, exceptions that leave them count as an error. */

#ifndef INSTAR_MANAGER_C_INSTAR_HOOKS_H_
#define INSTAR_MANAGER_C_INSTAR_HOOKS_H_

#ifdef __cplusplus
extern "C" {
#endif

/* They are found by their names, in whatever the module exports; `used`: no
 * part of the program calls them. */
#define INSTAR_HOOK_ __attribute__((visibility("default"), used))

/* 0: not yet, the update waits. Asked again and again, while threads run, so
 * that what it finds may have changed when they stand still: look again in
 * instar_generated_before(). */
INSTAR_HOOK_ int instar_generated_until(void);

INSTAR_HOOK_ const char* instar_generated_before(void);
INSTAR_HOOK_ const char* instar_generated_undo_before(void);
INSTAR_HOOK_ const char* instar_generated_after(void);
INSTAR_HOOK_ const char* instar_generated_undo_after(void);

/* When the update has taken effect and threads run again: may take locks. */
INSTAR_HOOK_ void instar_generated_done(void);

#undef INSTAR_HOOK_

#ifdef __cplusplus
}
#endif

#endif /* INSTAR_MANAGER_C_INSTAR_HOOKS_H_ */

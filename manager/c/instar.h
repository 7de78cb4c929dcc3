/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Instar for C: a manager, the places where a thread may be updated, and plans.
 *
 *   int main(void) {
 *     const char* error = instar_start("shop");
 *     if (error != NULL) return fail(error);
 *     instar_run_controlled("main", INSTAR_PASSIVE, serve, NULL);
 *   }
 *
 *   void serve(void* unused) {
 *     struct pollfd input = {0, POLLIN, 0};
 *     while (1) {
 *       instar_region region;
 *       instar_blocking_enter(&region, NULL);
 *       int ready = poll(&input, 1, -1);
 *       if (instar_blocking_leave(&region) && ready < 0) continue;
 *       if (!answer()) return;
 *       instar_update_point("between requests");
 *     }
 *   }
 *
 * A program that is started with the agent needs none of it: its functions are
 * redefined while all of its threads are stopped. What it gains by being
 * controlled is in threads/controlled_thread.h.
 *
 * An update module in C:
 *
 *   static const char* discount(instar_plan* plan) {
 *     instar_plan_redefine(plan, INSTAR_CODE(price), INSTAR_CODE(price2));
 *     return NULL;
 *   }
 *   INSTAR_UPDATE_MODULE("discount", discount);
 *
 * Errors: a function that can fail, and each function of yours that is called
 * back, returns NULL, or a message that says what is wrong. Ours is valid until
 * the thread calls one of these functions again; yours is copied at once.
 *
 * A thread that is rebooted unwinds its stack: compile with -fexceptions, as
 * instar-cc does, so that variables with __attribute__((cleanup)) are cleaned
 * up.
 *
 * C99 with GNU extensions, and later; C++ programs use the headers in instar/.
 * Threads: any function from any thread, a plan and a region by one. */

#ifndef INSTAR_MANAGER_C_INSTAR_H_
#define INSTAR_MANAGER_C_INSTAR_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library, as "0.1.0". */
const char* instar_version(void);

/* Starts the manager of this process, by which instarctl finds it; NULL: under
 * the name of the executable. It lives as long as the process. An error if
 * there is one already (of the agent, say), or if its socket cannot be made. */
const char* instar_start(const char* name);

/* ---- What the program says of its own health (manager/program_health.h): how
 * many requests it has answered, and how many of them not as it should.
 * `instarctl load --watch 30s` takes an update back after too many errors. Any
 * thread, signal handlers too. */
void instar_count_requests(unsigned long long count);
void instar_count_errors(unsigned long long count);

/* ---- Threads (threads/controlled_thread.h). */

enum instar_thread_kind { INSTAR_ACTIVE = 0, INSTAR_PASSIVE = 1 };

/* Calls main(argument) on the calling thread, which is a controlled thread
 * until that returns, or until what it was rebooted into does. */
void instar_run_controlled(const char* name, enum instar_thread_kind kind,
                           void (*main)(void* argument), void* argument);

/* Where the thread may be held, updated or rebooted (threads/update_point.h).
 * `name` may be NULL. */
void instar_update_point(const char* name);

/* Between these no update point has an effect on the thread. They nest. */
void instar_no_update_begin(void);
void instar_no_update_end(void);

/* A stretch in which the thread waits, and updates may go on without it
 * (threads/blocking_region.h), in one function. Between the two stands the
 * system call that waits and nothing that could be updated; it should take
 * nothing, since what it returned is lost if the thread is rebooted in
 * instar_blocking_leave(). */
typedef struct instar_region {
  unsigned long long opaque[40];
} instar_region;

/* `name` is that of the update point at which the region lies, or NULL; it must
 * stay until the region is left. */
void instar_blocking_enter(instar_region* region, const char* name);
/* Not zero if the call was interrupted for an update: repeat it if it returned
 * EINTR. Keeps errno. */
int instar_blocking_leave(instar_region* region);

/* ---- Values that a function exposes to whoever reboots its thread. */

typedef struct instar_exposed {
  unsigned long long opaque[8];
} instar_exposed;

/* `name` and `value` must stay until instar_expose_end(), which comes before
 * the function returns and in the opposite order. */
void instar_expose(instar_exposed* exposed, const char* name, void* value,
                   size_t size);
void instar_expose_end(instar_exposed* exposed);

/* Exposes a variable of the calling function until its scope ends. */
#define INSTAR_EXPOSE(variable)                                          \
  __attribute__((cleanup(instar_expose_end)))                            \
  instar_exposed instar_exposed_##variable;                              \
  instar_expose(&instar_exposed_##variable, #variable, (void*)&variable, \
                sizeof(variable))

/* The innermost value of that name and size that the calling thread exposes, or
 * NULL: in the thread itself, or in the `capture` of instar_plan_reboot(). */
void* instar_find_exposed(const char* name, size_t size);

/* ---- Shadow data: what a new version adds to objects that it cannot make
 * larger, by their address (heap/shadow/shadow.h says more).
 *
 *   static instar_shadow limits = INSTAR_SHADOW("limits", struct limit, NULL);
 *
 *   int accept2(struct connection* c) {
 *     struct limit* limit = instar_shadow_attach(&limits, c);
 *     return limit != NULL && ++limit->calls < 100;
 *   }
 *   void close2(struct connection* c) {
 *     instar_shadow_detach_all_of(c);
 *     INSTAR_ORIGINAL(close_connection)(c);   // which frees it
 *   }
 *
 * Nothing is released by itself when an object is freed: the function that
 * frees it, or the one that makes it (instar_shadow_replace()), is redefined.
 * Who may use the object may use what is attached to it. */

/* A variable of static storage; its members are not for you. */
typedef struct instar_shadow {
  const char* name;
  size_t size;
  void (*end)(void* data);
  void* table;
} instar_shadow;

/* `end` is called when one is detached, before it is freed; it may be NULL. */
#define INSTAR_SHADOW(name, type, end) \
  { name, sizeof(type), end, NULL }

/* What is attached to the object, or NULL. */
void* instar_shadow_find(const instar_shadow* shadow, const void* object);
/* The same; if there is nothing, attaches zeroed data first. NULL: no memory.
 * Of threads that come here at the same time, all get the same. */
void* instar_shadow_attach(instar_shadow* shadow, void* object);
/* Attaches zeroed data; what was attached to an object that lay there before
 * ends. For an object that begins. NULL: no memory, and nothing has changed. */
void* instar_shadow_replace(instar_shadow* shadow, void* object);
/* Ends what is attached; 0 if there is nothing. */
int instar_shadow_detach(instar_shadow* shadow, const void* object);
/* Of all kinds: for a function that frees the object. */
void instar_shadow_detach_all_of(const void* object);
/* How many there are. */
size_t instar_shadow_size(const instar_shadow* shadow);
/* Ends all of a kind, while nobody uses them. */
void instar_shadow_end(instar_shadow* shadow);

/* ---- Plans (updates/update_plan.h). Errors in what is given are answered when
 * the update is prepared. */

typedef struct instar_plan instar_plan;

/* Any function, to be given to a plan. */
typedef void (*instar_code)(void);
#define INSTAR_CODE(function) ((instar_code)(function))

/* Calls of `from` reach `to`, once `from` is active on no stack. The two take
 * the same parameters and return the same: C tells nobody if they do not. */
void instar_plan_redefine(instar_plan* plan, instar_code from, instar_code to);
/* The function as it was compiled, whatever it is redefined to: what a new
 * version calls that wraps it. The process ends if it has no entry that can be
 * redefined. */
instar_code instar_original(instar_code function);
#define INSTAR_ORIGINAL(function) \
  ((__typeof__(&(function)))instar_original(INSTAR_CODE(function)))
/* By its name in the program: it may be static. */
void instar_plan_redefine_named(instar_plan* plan, const char* from,
                                instar_code to);
/* Copies of redefined functions that were inlined elsewhere go on as they
 * are. */
void instar_plan_ignore_inlined_copies(instar_plan* plan);

/* Called while the threads are held, before and after everything else; `undo`
 * takes it back, and may be NULL: then the update cannot be undone. No lock of
 * the program may be taken. */
typedef const char* (*instar_hook)(void* argument);
void instar_plan_before(instar_plan* plan, instar_hook hook, instar_hook undo,
                        void* argument);
void instar_plan_after(instar_plan* plan, instar_hook hook, instar_hook undo,
                       void* argument);

/* Asked before each attempt, while the threads run: NULL, or why not yet. */
void instar_plan_when(instar_plan* plan, const char* (*ready)(void* argument),
                      void* argument);

/* Threads are held at update points of this name only, and the others left
 * alone. */
void instar_plan_at_update_point(instar_plan* plan, const char* name);
/* Threads that are not controlled are left alone. */
void instar_plan_only_registered_threads(instar_plan* plan);

/* The shadow data are there while the update is applied, and end when it has
 * been undone or has failed (updates/mechanisms/shadow_data.h): nothing may use
 * them then. */
void instar_plan_shadow(instar_plan* plan, instar_shadow* shadow);

/* Every controlled thread of this name starts again with main(argument).
 * `capture`, if it is not NULL, is called before, while the thread is held:
 * instar_find_exposed() finds there what the thread's functions expose, to be
 * copied into what `argument` leads to; its message means not yet. `undone` is
 * what an undo starts; without it the update cannot be undone. Frames of C are
 * unwound as those of C++ are: whatever they own stays owned, but for variables
 * with a cleanup. */
void instar_plan_reboot(instar_plan* plan, const char* thread_name,
                        void (*main)(void* argument),
                        void (*undone)(void* argument), instar_hook capture,
                        void* argument);
/* A new controlled thread. */
void instar_plan_start_thread(instar_plan* plan, const char* name,
                              enum instar_thread_kind kind,
                              void (*main)(void* argument), void* argument);

/* ---- Update modules (updates/update_module.h). */

/* What a module exports: UpdateModuleEntry, in C. */
struct instar_module_entry {
  unsigned format, kind;
  const char* name;
  void (*plan)(void);
  void (*thread_updates)(void);
  const char* (*c_plan)(instar_plan* plan);
};

/* `name` is a string literal of 1 to 64 letters, digits, '-', '_' and '.', and
 * `function` fills the plan: NULL, or why the update is refused. Once in a
 * module. */
#ifndef __cplusplus
#define INSTAR_UPDATE_MODULE(module_name, function)            \
  __asm__(                                                     \
      ".pushsection .note.instar.module, \"a\", @note\n"       \
      "    .balign 4\n"                                        \
      "    .long 2f - 1f, 4f - 3f, 1\n"                        \
      "1:  .asciz \"Instar\"\n"                                \
      "2:  .balign 4\n"                                        \
      "3:  .long 1, 3\n"                                       \
      "    .asciz \"" module_name                              \
      "\"\n"                                                   \
      "4:  .balign 4\n"                                        \
      "    .popsection\n");                                    \
  extern const struct instar_module_entry instar_update_module \
      __attribute__((visibility("default")));                  \
  const struct instar_module_entry instar_update_module = {    \
      1, 3, "" module_name, NULL, NULL, function}
#endif

#ifdef __cplusplus
}
#endif

#endif /* INSTAR_MANAGER_C_INSTAR_H_ */

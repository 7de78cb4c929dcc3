// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A GCC plugin that puts update points into loops, for
// updatable_cc_library(loop_update_points = ...) (tools/defs.bzl;
// docs/loop_update_points.md says what for).
//
// A point is
//
//   if (instar_loop_attention != 0) LoopPoint();
//
// with one of the functions of threads/internal/loop_update_point.h:
//
//   EarlyLoopPoint()   put into the loop as the front end has read it. For all
//                      that the compiler knows, anything may happen in the
//                      call: memory is as the source says, and an exception
//                      runs the destructors that are due. So a thread may be
//                      rebooted there, and objects be converted.
//   InlineLoopPoint()  the same, but throws nothing: in inline functions and
//                      templates, whose callers in other files may have been
//                      compiled in the knowledge that they throw nothing.
//   LateLoopPoint()    put where loops go back when the optimizer is done. It
//                      may keep variables in registers there that are not
//                      stored yet: a thread is held there, and no more. It
//                      costs less.
//
//   mode=early   an early point in each loop that is written in the program,
//                and a late one in each that has none then: in those of system
//                headers, and in innermost loops that call nothing and are
//                known to end, which lose their early point, since they could
//                not be vectorized with it
//   mode=late    a late point in each loop, but an early one where a loop has
//                no condition, or a constant one: for (;;), while (true)
//
// An innermost loop that calls nothing and goes round a thousand times at most
// gets no late point. Functions that the author has marked
// [[gnu::no_instrument_function]], and coroutines, get none at all. Nor do
// inline functions and templates of system headers and of the libraries that
// Instar is made of, which the linker may take from here: Instar itself calls
// them, and may own a lock then. (Where those of system headers have been
// inlined into a function of the program, its loops are the program's.)

#include "tools/loop_update_points/early_points.h"
#include "tools/loop_update_points/gcc.h"
#include "tools/loop_update_points/late_points.h"
#include "tools/loop_update_points/points.h"

int plugin_is_GPL_compatible;  // GCC looks for it

int plugin_init(plugin_name_args* arguments, plugin_gcc_version* version) {
  using namespace loop_update_points;  // NOLINT: all of it
  if (!plugin_default_version_check(version, &gcc_version)) {
    error(
        "the plugin of %<loop_update_points%> was built for GCC %s; "
        "%<bazel clean%> has it built anew",
        gcc_version.basever);
    return 1;
  }
  bool has_mode = false;
  for (int i = 0; i < arguments->argc; ++i) {
    const plugin_argument& argument = arguments->argv[i];
    if (strcmp(argument.key, "mode") != 0 || argument.value == nullptr) {
      continue;
    }
    is_late_mode = strcmp(argument.value, "late") == 0;
    has_mode = is_late_mode || strcmp(argument.value, "early") == 0;
  }
  if (!has_mode) {
    error(
        "the plugin of %<loop_update_points%> needs %<mode=early%> or "
        "%<mode=late%>");
    return 1;
  }
  RegisterRoots(arguments->base_name);
  register_callback(arguments->base_name, PLUGIN_PRE_GENERICIZE, &OnFunction,
                    nullptr);
  register_callback(arguments->base_name, PLUGIN_FINISH_PARSE_FUNCTION,
                    &OnFinishedFunction, nullptr);
  static register_pass_info early;
  early.pass = MakeEarlyPass(g);
  early.reference_pass_name = "stdarg";  // after inlining, before loops
  early.ref_pass_instance_number = 1;
  early.pos_op = PASS_POS_INSERT_AFTER;
  if (!is_late_mode) {
    register_callback(arguments->base_name, PLUGIN_PASS_MANAGER_SETUP, nullptr,
                      &early);
  }
  static register_pass_info late;
  late.pass = MakeLatePass(g);
  late.reference_pass_name = "optimized";
  late.ref_pass_instance_number = 1;
  late.pos_op = PASS_POS_INSERT_AFTER;
  register_callback(arguments->base_name, PLUGIN_PASS_MANAGER_SETUP, nullptr,
                    &late);
  return 0;
}

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

#include <vector>

// In the order that these headers need.
// clang-format off
#include "gcc-plugin.h"
#include "plugin-version.h"
#include "tree.h"
#include "cp/cp-tree.h"
#include "c-family/c-common.h"
#include "tree-pass.h"
#include "context.h"
#include "function.h"
#include "basic-block.h"
#include "gimple.h"
#include "gimple-iterator.h"
#include "tree-cfg.h"
#include "cfganal.h"
#include "cfghooks.h"
#include "cfgloop.h"
#include "dominance.h"
#include "tree-ssa-loop.h"
#include "tree-ssa-loop-niter.h"
#include "tree-scalar-evolution.h"
#include "fold-const.h"
#include "predict.h"
#include "profile-count.h"
#include "ssa.h"
#include "stringpool.h"
#include "attribs.h"
#include "diagnostic-core.h"
// clang-format on

int plugin_is_GPL_compatible;  // GCC looks for it

namespace {

constexpr char kAttention[] = "instar_loop_attention";
// instar::threads_internal::EarlyLoopPoint() and so on.
constexpr char kEarlyPoint[] = "_ZN6instar16threads_internal14EarlyLoopPointEv";
constexpr char kInlinePoint[] =
    "_ZN6instar16threads_internal15InlineLoopPointEv";
constexpr char kLatePoint[] = "_ZN6instar16threads_internal13LateLoopPointEv";
// Rounds of a loop that needs no late point.
constexpr HOST_WIDE_INT kFewRounds = 1000;

bool is_late_mode = false;

// --- What a point refers to. Kept alive by RegisterRoots().

tree attention = NULL_TREE;
tree early_point = NULL_TREE;
tree inline_point = NULL_TREE;
tree late_point = NULL_TREE;

tree MakeFunction(const char* name, bool throws) {
  tree function =
      build_fn_decl(name, build_function_type_list(void_type_node, NULL_TREE));
  TREE_PUBLIC(function) = 1;
  DECL_EXTERNAL(function) = 1;
  TREE_NOTHROW(function) = !throws;
  DECL_ATTRIBUTES(function) =
      tree_cons(get_identifier("cold"), NULL_TREE, DECL_ATTRIBUTES(function));
  return function;
}

void MakeDeclarations() {
  if (attention != NULL_TREE) return;
  attention =
      build_decl(UNKNOWN_LOCATION, VAR_DECL, get_identifier(kAttention),
                 build_qualified_type(integer_type_node, TYPE_QUAL_VOLATILE));
  TREE_PUBLIC(attention) = 1;
  DECL_EXTERNAL(attention) = 1;
  DECL_ARTIFICIAL(attention) = 1;
  TREE_THIS_VOLATILE(attention) = 1;
  TREE_SIDE_EFFECTS(attention) = 1;
  TREE_USED(attention) = 1;
  early_point = MakeFunction(kEarlyPoint, /*throws=*/true);
  inline_point = MakeFunction(kInlinePoint, /*throws=*/false);
  late_point = MakeFunction(kLatePoint, /*throws=*/false);
}

void RegisterRoots(const char* plugin) {
  static const ggc_root_tab roots[] = {
      {&attention, 1, sizeof(tree), &gt_ggc_mx_tree_node, &gt_pch_nx_tree_node},
      {&early_point, 1, sizeof(tree), &gt_ggc_mx_tree_node,
       &gt_pch_nx_tree_node},
      {&inline_point, 1, sizeof(tree), &gt_ggc_mx_tree_node,
       &gt_pch_nx_tree_node},
      {&late_point, 1, sizeof(tree), &gt_ggc_mx_tree_node,
       &gt_pch_nx_tree_node},
      LAST_GGC_ROOT_TAB};
  register_callback(plugin, PLUGIN_REGISTER_GGC_ROOTS, nullptr,
                    const_cast<ggc_root_tab*>(roots));
}

bool WantsNone(tree function) {
  return lookup_attribute("no_instrument_function",
                          DECL_ATTRIBUTES(function)) != NULL_TREE ||
         (DECL_LANG_SPECIFIC(function) != nullptr &&  // null of a clone
          DECL_COROUTINE_P(function));
}

// --- Early points.

// Whether other files may have callers that were compiled with another copy of
// it.
bool HasCopies(tree function) {
  // Of a lambda, and in a local class: as the function around it.
  if (tree outer = decl_function_context(function)) return HasCopies(outer);
  return TREE_PUBLIC(function) &&
         (DECL_DECLARED_INLINE_P(function) ||
          (DECL_LANG_SPECIFIC(function) != nullptr &&
           DECL_TEMPLATE_INSTANTIATION(function)) ||
          DECL_COMDAT(function) || DECL_WEAK(function));
}

// Instar's own code may come to it, with a lock.
bool IsSharedWithInstar(tree function) {
  if (!HasCopies(function)) return false;
  tree scope = decl_namespace_context(function);
  tree outermost = NULL_TREE;
  for (; scope != NULL_TREE && scope != global_namespace &&
         TREE_CODE(scope) == NAMESPACE_DECL;
       scope = CP_DECL_CONTEXT(scope)) {
    outermost = scope;
  }
  if (outermost == NULL_TREE || DECL_NAME(outermost) == NULL_TREE) return false;
  for (const char* const name : {"instar", "absl", "boost"}) {
    if (strcmp(IDENTIFIER_POINTER(DECL_NAME(outermost)), name) == 0) {
      return true;
    }
  }
  return false;
}

bool IsOfSystemHeader(tree function) {
  return in_system_header_at(DECL_SOURCE_LOCATION(function));
}

// attention != 0 ? (void)call() : (void)0
tree EarlyPoint(tree call) {
  MakeDeclarations();
  tree value = attention;
  if ((flag_sanitize & SANITIZE_THREAD) != 0) {
    // It is written atomically, and ThreadSanitizer sees this load.
    constexpr int kRelaxed = 0;
    value = build_call_expr(builtin_decl_explicit(BUILT_IN_ATOMIC_LOAD_4), 2,
                            build_fold_addr_expr(attention),
                            build_int_cst(integer_type_node, kRelaxed));
  }
  tree is_wanted = build2(NE_EXPR, boolean_type_node, value,
                          build_int_cst(TREE_TYPE(value), 0));
  TREE_SIDE_EFFECTS(is_wanted) = 1;
  is_wanted =
      build_call_expr(builtin_decl_explicit(BUILT_IN_EXPECT), 2,
                      build1(NOP_EXPR, long_integer_type_node, is_wanted),
                      build_int_cst(long_integer_type_node, 0));
  is_wanted = build2(NE_EXPR, boolean_type_node, is_wanted,
                     build_int_cst(long_integer_type_node, 0));
  tree point = build3(COND_EXPR, void_type_node, is_wanted,
                      build_call_expr(call, 0), void_node);
  TREE_SIDE_EFFECTS(point) = 1;
  return point;
}

tree After(tree point, tree expression) {
  tree both = build2(COMPOUND_EXPR, TREE_TYPE(expression), point, expression);
  TREE_SIDE_EFFECTS(both) = 1;
  return both;
}

// do { } while (false), which macros are made of.
bool IsNoLoop(tree condition) {
  return condition != NULL_TREE && integer_zerop(condition);
}

// Whether a loop goes on for ever but for what its body does.
bool IsEndless(tree condition) {
  return condition == NULL_TREE || integer_nonzerop(condition);
}

struct Walk {
  tree call;  // early_point or inline_point
  bool added = false;

  // Before what stands there, or alone.
  void AddTo(tree* expression) {
    *expression = *expression == NULL_TREE
                      ? EarlyPoint(call)
                      : After(EarlyPoint(call), *expression);
    added = true;
  }
};

tree VisitLoops(tree* at, int* walk_subtrees, void* data) {
  const auto wants = [](tree condition) {
    return is_late_mode ? IsEndless(condition) : !IsNoLoop(condition);
  };
  auto* const walk = static_cast<Walk*>(data);
  switch (TREE_CODE(*at)) {
    case FOR_STMT:
      // `continue` leads to it, too.
      if (wants(FOR_COND(*at))) walk->AddTo(&FOR_EXPR(*at));
      break;
    case WHILE_STMT:
      if (wants(WHILE_COND(*at))) walk->AddTo(&WHILE_COND(*at));
      break;
    case DO_STMT:
      if (wants(DO_COND(*at))) walk->AddTo(&DO_COND(*at));
      break;
    default:
      if (TYPE_P(*at)) *walk_subtrees = 0;
  }
  return NULL_TREE;
}

// That OnFunction() has seen last; never looked into.
tree throwing_function = NULL_TREE;

// A function has been read, and nothing has been made of it.
void OnFunction(void* function_of_event, void*) {
  tree function = static_cast<tree>(function_of_event);
  if (TREE_CODE(function) != FUNCTION_DECL || processing_template_decl ||
      WantsNone(function) || IsOfSystemHeader(function) ||
      IsSharedWithInstar(function)) {
    return;
  }
  MakeDeclarations();
  Walk walk{HasCopies(function) ? inline_point : early_point};
  cp_walk_tree_without_duplicates(&DECL_SAVED_TREE(function), &VisitLoops,
                                  &walk);
  if (walk.added && walk.call == early_point &&
      !TYPE_NOTHROW_P(TREE_TYPE(function))) {
    throwing_function = function;
    TREE_NOTHROW(function) = 0;
  }
}

// The function has been finished. GCC 14 concludes only now that it throws
// nothing: callers that follow would drop what an exception has to run.
void OnFinishedFunction(void* function_of_event, void*) {
  tree function = static_cast<tree>(function_of_event);
  if (function == throwing_function) TREE_NOTHROW(function) = 0;
}

// --- What the optimizer sees of points and loops.

bool LoadsAttention(gimple* statement) {
  return gimple_assign_load_p(statement) &&
         gimple_assign_rhs1(statement) == attention;
}

bool IsPoint(basic_block block) {
  for (gimple_stmt_iterator at = gsi_start_bb(block); !gsi_end_p(at);
       gsi_next(&at)) {
    if (LoadsAttention(gsi_stmt(at))) return true;
  }
  return false;
}

// What a round takes is not known if it calls something. `points` becomes the
// loads of its early points, whose calls do not count.
bool CallsSomething(class loop* of, std::vector<gimple*>* points) {
  bool calls = false;
  basic_block* const blocks = get_loop_body(of);
  for (unsigned i = 0; i < of->num_nodes; ++i) {
    for (gimple_stmt_iterator at = gsi_start_bb(blocks[i]); !gsi_end_p(at);
         gsi_next(&at)) {
      gimple* const statement = gsi_stmt(at);
      if (LoadsAttention(statement)) {
        points->push_back(statement);
      } else if (is_gimple_call(statement)) {
        calls |= !gimple_call_internal_p(statement) &&
                 !gimple_call_builtin_p(statement, BUILT_IN_NORMAL) &&
                 gimple_call_fndecl(statement) != early_point &&
                 gimple_call_fndecl(statement) != inline_point;
      } else if (gimple_code(statement) == GIMPLE_ASM) {
        calls = true;
      }
    }
  }
  free(blocks);
  return calls;
}

const pass_data kEarlyPass = {GIMPLE_PASS,
                              "instar_early_points",
                              OPTGROUP_NONE,
                              TV_NONE,
                              PROP_cfg | PROP_ssa,
                              0,
                              0,
                              0,
                              TODO_update_ssa | TODO_cleanup_cfg};

// After inlining, and before loops are optimized: takes the early points out of
// innermost loops that call nothing and are known to end.
class EarlyPass final : public gimple_opt_pass {
 public:
  explicit EarlyPass(gcc::context* context)
      : gimple_opt_pass(kEarlyPass, context) {}

  unsigned execute(function* function) override {
    if (attention == NULL_TREE || n_basic_blocks_for_fn(function) < 4) return 0;
    loop_optimizer_init(LOOPS_NORMAL | LOOPS_HAVE_RECORDED_EXITS);
    scev_initialize();
    std::vector<gimple*> superfluous;
    for (unsigned i = 1; i < number_of_loops(function); ++i) {
      class loop* const each = get_loop(function, static_cast<int>(i));
      if (each == nullptr || each->inner != nullptr) continue;
      std::vector<gimple*> points;
      if (CallsSomething(each, &points) || !IsKnownToEnd(each)) continue;
      superfluous.insert(superfluous.end(), points.begin(), points.end());
    }
    scev_finalize();
    loop_optimizer_finalize();
    for (gimple* const load : superfluous) SetToZero(load);
    return 0;
  }

 private:
  // By the number of rounds until an exit that every round comes to.
  static bool IsKnownToEnd(class loop* of) {
    bool ends = false;
    for (const edge exit : get_loop_exit_edges(of)) {
      tree_niter_desc rounds;
      ends = ends || number_of_iterations_exit(of, exit, &rounds, false, true);
    }
    return ends;
  }

  // So that the call is dropped.
  static void SetToZero(gimple* load) {
    gimple_stmt_iterator at = gsi_for_stmt(load);
    tree value = gimple_assign_lhs(load);
    replace_uses_by(value, build_zero_cst(TREE_TYPE(value)));
    unlink_stmt_vdef(load);
    gsi_remove(&at, true);
    release_defs(load);
  }
};

// --- Late points.

// Whether the statement has been inlined from such a function.
bool IsFromShared(gimple* statement) {
  for (tree block = gimple_block(statement);
       block != NULL_TREE && TREE_CODE(block) == BLOCK;
       block = BLOCK_SUPERCONTEXT(block)) {
    if (!inlined_function_outer_scope_p(block)) continue;
    tree function = block_ultimate_origin(block);
    if (function != NULL_TREE && TREE_CODE(function) == FUNCTION_DECL &&
        IsSharedWithInstar(function)) {
      return true;
    }
  }
  return false;
}

// A loop of such a function that has been inlined: nothing in it is the
// program's.
bool IsShared(edge back) {
  class loop* const of = back->dest->loop_father;
  if (of == nullptr || of->header != back->dest) return false;
  bool all = true, some = false;
  basic_block* const blocks = get_loop_body(of);
  for (unsigned i = 0; i < of->num_nodes; ++i) {
    for (gimple_stmt_iterator at = gsi_start_nondebug_bb(blocks[i]);
         !gsi_end_p(at); gsi_next_nondebug(&at)) {
      if (gimple_block(gsi_stmt(at)) == NULL_TREE) continue;
      some = true;
      all = all && IsFromShared(gsi_stmt(at));
    }
  }
  free(blocks);
  return some && all;
}

// An innermost loop that calls nothing and goes round a few times.
bool IsShort(edge back) {
  class loop* const of = back->dest->loop_father;
  if (of == nullptr || of->header != back->dest || of->inner != nullptr ||
      !flow_bb_inside_loop_p(of, back->src)) {
    return false;
  }
  const HOST_WIDE_INT rounds = get_max_loop_iterations_int(of);
  std::vector<gimple*> points;
  return rounds >= 0 && rounds <= kFewRounds && !CallsSomething(of, &points);
}

// Whether every round that goes back by this edge passes a point: one that
// dominates its source, and is dominated by its destination.
bool PassesPoint(edge back) {
  if (!dominated_by_p(CDI_DOMINATORS, back->src, back->dest)) return false;
  for (basic_block block = back->src;;
       block = get_immediate_dominator(CDI_DOMINATORS, block)) {
    if (IsPoint(block)) return true;
    if (block == back->dest) return false;
  }
}

void PutLatePoint(edge back) {
  basic_block test = split_edge(back);
  tree value = make_ssa_name(integer_type_node);
  gassign* const load = gimple_build_assign(value, attention);
  gimple_set_has_volatile_ops(load, true);
  gimple_stmt_iterator at = gsi_last_bb(test);
  gsi_insert_after(&at, load, GSI_NEW_STMT);
  edge go_on = split_block(test, load);
  gcond* const condition =
      gimple_build_cond(NE_EXPR, value, build_int_cst(integer_type_node, 0),
                        NULL_TREE, NULL_TREE);
  at = gsi_last_bb(test);
  gsi_insert_after(&at, condition, GSI_NEW_STMT);

  basic_block call = create_empty_bb(test);
  if (test->loop_father != nullptr) add_bb_to_loop(call, test->loop_father);
  edge wanted = make_edge(test, call, EDGE_TRUE_VALUE);
  wanted->probability = profile_probability::very_unlikely();
  go_on->flags = (go_on->flags & ~EDGE_FALLTHRU) | EDGE_FALSE_VALUE;
  go_on->probability = profile_probability::very_likely();
  make_single_succ_edge(call, go_on->dest, EDGE_FALLTHRU);
  call->count = test->count.apply_probability(wanted->probability);
  at = gsi_start_bb(call);
  gsi_insert_after(&at, gimple_build_call(late_point, 0), GSI_NEW_STMT);
}

const pass_data kLatePass = {GIMPLE_PASS,
                             "instar_late_points",
                             OPTGROUP_NONE,
                             TV_NONE,
                             PROP_cfg | PROP_ssa,
                             0,
                             0,
                             0,
                             TODO_update_ssa | TODO_cleanup_cfg};

class LatePass final : public gimple_opt_pass {
 public:
  explicit LatePass(gcc::context* context)
      : gimple_opt_pass(kLatePass, context) {}

  unsigned execute(function* function) override {
    tree declared = DECL_ORIGIN(function->decl);
    if (WantsNone(declared) || IsSharedWithInstar(declared) ||
        (IsOfSystemHeader(declared) && HasCopies(declared))) {
      return 0;
    }
    MakeDeclarations();
    loop_optimizer_init(AVOID_CFG_MODIFICATIONS);
    calculate_dominance_info(CDI_DOMINATORS);
    mark_dfs_back_edges();
    std::vector<edge> back_edges;
    basic_block block;
    FOR_EACH_BB_FN(block, function) {
      edge each;
      edge_iterator at;
      FOR_EACH_EDGE(each, at, block->succs) {
        if ((each->flags & EDGE_DFS_BACK) != 0 &&
            (each->flags & (EDGE_ABNORMAL | EDGE_EH)) == 0 &&
            !PassesPoint(each) && !IsShort(each) && !IsShared(each)) {
          back_edges.push_back(each);
        }
      }
    }
    loop_optimizer_finalize();
    for (const edge back : back_edges) PutLatePoint(back);
    free_dominance_info(CDI_DOMINATORS);
    free_dominance_info(CDI_POST_DOMINATORS);
    return 0;
  }
};

}  // namespace

int plugin_init(plugin_name_args* arguments, plugin_gcc_version* version) {
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
  early.pass = new EarlyPass(g);
  early.reference_pass_name = "stdarg";  // after inlining, before loops
  early.ref_pass_instance_number = 1;
  early.pos_op = PASS_POS_INSERT_AFTER;
  if (!is_late_mode) {
    register_callback(arguments->base_name, PLUGIN_PASS_MANAGER_SETUP, nullptr,
                      &early);
  }
  static register_pass_info late;
  late.pass = new LatePass(g);
  late.reference_pass_name = "optimized";
  late.ref_pass_instance_number = 1;
  late.pos_op = PASS_POS_INSERT_AFTER;
  register_callback(arguments->base_name, PLUGIN_PASS_MANAGER_SETUP, nullptr,
                    &late);
  return 0;
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A GCC plugin that puts update points into loops, for
// updatable_cc_library(loop_update_points = ...) (tools/defs.bzl;
// docs/threads.md says what for).
//
// A point is
//
//   if (instar_loop_attention != 0) instar_..._loop_point();
//
// (threads/loop_update_point.cc). There are two kinds of it.
//
//   early  put into the loop as the front end has read it. For all that the
//          compiler knows, anything may happen in the call: memory is as the
//          source says, and an exception runs the destructors that are due. So
//          a thread may be rebooted there, and objects be converted.
//   late   put where loops go back when the optimizer is done. It may keep
//          memory in registers there, and may have dropped the destructors of
//          an exception that nothing seemed to throw: a thread is held there,
//          and no more. It costs less.
//
//   mode=early   an early point in each loop that is written in the program
//   mode=late    a late point in each loop, but an early one where a loop has
//                no condition, or a constant one: for (;;), while (true)
//
// Loops of system headers get no early point. Those of functions that the
// author has marked [[gnu::no_instrument_function]] get none.

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
constexpr char kEarlyPoint[] = "instar_early_loop_point";
constexpr char kLatePoint[] = "instar_late_loop_point";

bool is_late_mode = false;

// --- What a point refers to. Kept alive by RegisterRoots().

tree attention = NULL_TREE;
tree early_point = NULL_TREE;
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
  late_point = MakeFunction(kLatePoint, /*throws=*/false);
}

void RegisterRoots(const char* plugin) {
  static const ggc_root_tab roots[] = {
      {&attention, 1, sizeof(tree), &gt_ggc_mx_tree_node, &gt_pch_nx_tree_node},
      {&early_point, 1, sizeof(tree), &gt_ggc_mx_tree_node,
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
         DECL_COROUTINE_P(function);
}

// --- Early points.

// attention != 0 ? (early_point(), 0) : 0
tree EarlyPoint() {
  MakeDeclarations();
  tree is_wanted = build2(NE_EXPR, boolean_type_node, attention,
                          build_int_cst(integer_type_node, 0));
  TREE_SIDE_EFFECTS(is_wanted) = 1;
  is_wanted =
      build_call_expr(builtin_decl_explicit(BUILT_IN_EXPECT), 2,
                      build1(NOP_EXPR, long_integer_type_node, is_wanted),
                      build_int_cst(long_integer_type_node, 0));
  is_wanted = build2(NE_EXPR, boolean_type_node, is_wanted,
                     build_int_cst(long_integer_type_node, 0));
  tree point = build3(COND_EXPR, void_type_node, is_wanted,
                      build_call_expr(early_point, 0), void_node);
  TREE_SIDE_EFFECTS(point) = 1;
  return point;
}

tree After(tree point, tree expression) {
  tree both = build2(COMPOUND_EXPR, TREE_TYPE(expression), point, expression);
  TREE_SIDE_EFFECTS(both) = 1;
  return both;
}

// Whether a loop goes on for ever but for what its body does.
bool IsEndless(tree condition) {
  return condition == NULL_TREE || integer_nonzerop(condition);
}

// Before what stands there, or alone.
void AddTo(tree* expression) {
  *expression = *expression == NULL_TREE ? EarlyPoint()
                                         : After(EarlyPoint(), *expression);
}

struct Walk {
  bool added = false;
};

tree VisitLoops(tree* at, int* walk_subtrees, void* data) {
  const auto wants = [](tree condition) {
    return !is_late_mode || IsEndless(condition);
  };
  auto* const walk = static_cast<Walk*>(data);
  switch (TREE_CODE(*at)) {
    case FOR_STMT:
      if (wants(FOR_COND(*at))) {
        AddTo(&FOR_EXPR(*at));  // which `continue` leads to, too
        walk->added = true;
      }
      break;
    case WHILE_STMT:
      if (wants(WHILE_COND(*at))) {
        AddTo(&WHILE_COND(*at));
        walk->added = true;
      }
      break;
    case DO_STMT:
      if (wants(DO_COND(*at))) {
        AddTo(&DO_COND(*at));
        walk->added = true;
      }
      break;
    default:
      if (TYPE_P(*at)) *walk_subtrees = 0;
  }
  return NULL_TREE;
}

// A function has been read, and nothing has been made of it.
void OnFunction(void* function_of_event, void*) {
  tree function = static_cast<tree>(function_of_event);
  if (TREE_CODE(function) != FUNCTION_DECL || processing_template_decl ||
      WantsNone(function) ||
      in_system_header_at(DECL_SOURCE_LOCATION(function))) {
    return;
  }
  Walk walk;
  cp_walk_tree_without_duplicates(&DECL_SAVED_TREE(function), &VisitLoops,
                                  &walk);
  // The front end has concluded that it throws nothing, where the author has
  // not said so: callers would drop what an exception has to run.
  if (walk.added && !TYPE_NOTHROW_P(TREE_TYPE(function))) {
    TREE_NOTHROW(function) = 0;
  }
}

// --- Late points.

bool IsPoint(basic_block block) {
  for (gimple_stmt_iterator at = gsi_start_bb(block); !gsi_end_p(at);
       gsi_next(&at)) {
    gimple* const statement = gsi_stmt(at);
    if (gimple_assign_load_p(statement) &&
        gimple_assign_rhs1(statement) == attention) {
      return true;
    }
  }
  return false;
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
    if (WantsNone(function->decl)) return 0;
    MakeDeclarations();
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
            !PassesPoint(each)) {
          back_edges.push_back(each);
        }
      }
    }
    for (const edge back : back_edges) PutLatePoint(back);
    free_dominance_info(CDI_DOMINATORS);
    free_dominance_info(CDI_POST_DOMINATORS);
    return 0;
  }
};

}  // namespace

int plugin_init(plugin_name_args* arguments, plugin_gcc_version* version) {
  if (!plugin_default_version_check(version, &gcc_version)) {
    error("the plugin of loop_update_points was built for GCC %s",
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
    error("the plugin of loop_update_points needs mode=early or mode=late");
    return 1;
  }
  RegisterRoots(arguments->base_name);
  register_callback(arguments->base_name, PLUGIN_PRE_GENERICIZE, &OnFunction,
                    nullptr);
  if (is_late_mode) {
    static register_pass_info late;
    late.pass = new LatePass(g);
    late.reference_pass_name = "optimized";
    late.ref_pass_instance_number = 1;
    late.pos_op = PASS_POS_INSERT_AFTER;
    register_callback(arguments->base_name, PLUGIN_PASS_MANAGER_SETUP, nullptr,
                      &late);
  }
  return 0;
}

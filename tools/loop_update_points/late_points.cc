// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/loop_update_points/late_points.h"

#include <vector>

#include "tools/loop_update_points/points.h"

namespace loop_update_points {
namespace {

// Rounds of a loop that needs no late point.
constexpr HOST_WIDE_INT kFewRounds = 1000;

bool IsPoint(basic_block block) {
  for (gimple_stmt_iterator at = gsi_start_bb(block); !gsi_end_p(at);
       gsi_next(&at)) {
    if (LoadsAttention(gsi_stmt(at))) return true;
  }
  return false;
}

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

opt_pass* MakeLatePass(gcc::context* context) { return new LatePass(context); }

}  // namespace loop_update_points

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/loop_update_points/early_points.h"

#include <vector>

#include "tools/loop_update_points/points.h"

namespace loop_update_points {

bool is_late_mode = false;

namespace {

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

const pass_data kEarlyPass = {GIMPLE_PASS,
                              "instar_early_points",
                              OPTGROUP_NONE,
                              TV_NONE,
                              PROP_cfg | PROP_ssa,
                              0,
                              0,
                              0,
                              TODO_update_ssa | TODO_cleanup_cfg};

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

}  // namespace

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

void OnFinishedFunction(void* function_of_event, void*) {
  tree function = static_cast<tree>(function_of_event);
  if (function == throwing_function) TREE_NOTHROW(function) = 0;
}

opt_pass* MakeEarlyPass(gcc::context* context) {
  return new EarlyPass(context);
}

}  // namespace loop_update_points

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/loop_update_points/points.h"

#include <vector>

namespace loop_update_points {

tree attention = NULL_TREE;
tree early_point = NULL_TREE;
tree inline_point = NULL_TREE;
tree late_point = NULL_TREE;

namespace {

constexpr char kAttention[] = "instar_loop_attention";
// instar::threads_internal::EarlyLoopPoint() and so on.
constexpr char kEarlyPoint[] = "_ZN6instar16threads_internal14EarlyLoopPointEv";
constexpr char kInlinePoint[] =
    "_ZN6instar16threads_internal15InlineLoopPointEv";
constexpr char kLatePoint[] = "_ZN6instar16threads_internal13LateLoopPointEv";

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

}  // namespace

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

bool HasCopies(tree function) {
  // Of a lambda, and in a local class: as the function around it.
  if (tree outer = decl_function_context(function)) return HasCopies(outer);
  return TREE_PUBLIC(function) &&
         (DECL_DECLARED_INLINE_P(function) ||
          (DECL_LANG_SPECIFIC(function) != nullptr &&
           DECL_TEMPLATE_INSTANTIATION(function)) ||
          DECL_COMDAT(function) || DECL_WEAK(function));
}

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

bool LoadsAttention(gimple* statement) {
  return gimple_assign_load_p(statement) &&
         gimple_assign_rhs1(statement) == attention;
}

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

}  // namespace loop_update_points

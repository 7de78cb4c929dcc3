"""The flags that the mechanisms rest on.

They stand here and nowhere else; each says what goes wrong without it.
"""

load(":processors.bzl", "NEEDS_FUNCTION_ENTRIES", "where_own_code")

# Labels of this repository, also where another one uses these macros.
_COMPILER_IS_CLANG = str(Label("//tools:compiler_is_clang"))
_COMPILATION_MODE_IS_DBG = str(Label("//tools:compilation_mode_is_dbg"))

# GCC is the compiler that is supported for updatable code. clang builds and checks the tree; it does not know GCC's
# passes by name, nor whether it would do the same as they.
_ANY_COMPILER_COPTS = [
    # A function of external linkage can be replaced, so the compiler may not look through a call of it: it does not
    # inline it across, nor clone it, nor conclude that it cannot throw. (Never add -fno-semantic-interposition here: it
    # would be treated like a static one. A program may ask instar-cc for that.)
    "-fPIC",
    # Each function and each variable in a section of its own: two builds can be compared piece by piece.
    "-ffunction-sections",
    "-fdata-sections",
    # A thread that is rebooted unwinds its stack, also through functions in C, where it cleans up variables.
    "-fexceptions",
]

# Where functions have entries.
_ENTRY_COPTS = [
    # Room for one jump or call at the start of every function.
    "-fpatchable-function-entry=5",
    # An endbr64 would stand before that room.
    "-fcf-protection=none",
]

_GCC_COPTS = [
    # Values that the compiler knows not to change in a call do change when an update happens inside the call.
    "-fno-ipa-ra",
    "-fno-ipa-modref",
    "-fno-ipa-pure-const",
    "-fno-ipa-reference",
    # Nor is a variable a constant since this version never writes it, or nothing since it never reads it.
    "-fno-ipa-reference-addressable",
    # Nor are a function's callers told which values it returns (GCC 14).
    "-fno-ipa-vrp",
    # Nor may a virtual call be bound to the override that is known when the program is built.
    "-fno-devirtualize",
    # Two functions with the same body must stay two.
    "-fno-ipa-icf",
    # A function may not live on as a copy with another signature (f.constprop.0, f.isra.0, f.part.0).
    "-fno-ipa-cp",
    "-fno-ipa-sra",
    "-fno-partial-inlining",
    # Nor may it rely on how its callers align the stack, which its next version is not told.
    "-fno-ipa-stack-alignment",
    # String literals in sections of their own also without optimization: two builds can be compared string by string.
    "-fmerge-constants",
]

UPDATABLE_COPTS = _ANY_COMPILER_COPTS + where_own_code(_ENTRY_COPTS) + select({
    _COMPILER_IS_CLANG: ["-fsemantic-interposition"],
    "//conditions:default": _GCC_COPTS,
}) + select({
    # Debug information says where a function has been inlined, and what the types are that an update relies on. -c dbg
    # asks for it already.
    _COMPILATION_MODE_IS_DBG: [],
    "//conditions:default": ["-g"],
})

UPDATABLE_LINKOPTS = [
    # Modules use the program's functions and variables.
    "-rdynamic",
    # The compiler lists patchable entries in a section that refers to discarded duplicates of functions, which gold
    # refuses. Nothing refers to it, so that collecting garbage drops it. For other linkers: entry_list.bzl.
    "-Wl,--gc-sections",
    # A module knows the program that it was built for by this.
    "-Wl,--build-id=sha1",
]

# For C++ alone.
_ANY_COMPILER_MODULE_COPTS = [
    # The next version of a class reads what its predecessor keeps private.
    "-fno-access-control",
    # <iostream> of GCC 12 and before has each file initialize the standard streams, which the program has done: without
    # that variable, most modules have no static initializers, and can be used again (manager/module/module_loader.h).
    "-D__ioinit=*__instar_no_ioinit[[gnu::unused]]",
]

# Static variables of templates and inline functions would be one for all versions of a module, and a module that has
# any could never be unloaded.
_GCC_MODULE_COPTS = ["-fno-gnu-unique"]

_MODULE_ONLY_COPTS = _ANY_COMPILER_MODULE_COPTS + select({
    _COMPILER_IS_CLANG: [],
    "//conditions:default": _GCC_MODULE_COPTS,
})

# What compiles and links outside of Bazel, by GCC (tools/install).
GCC_FLAGS = struct(
    compile = _ANY_COMPILER_COPTS + _ENTRY_COPTS + ["-fsemantic-interposition"] + _GCC_COPTS,
    link = UPDATABLE_LINKOPTS,
    module_in_cc = _ANY_COMPILER_MODULE_COPTS + _GCC_MODULE_COPTS,
)

UPDATE_MODULE_COPTS = UPDATABLE_COPTS + _MODULE_ONLY_COPTS

# As target_compatible_with: where another compiler builds, the target is left out of a build of all; and where functions
# have no entries, which all that is for one compiler is about.
GCC_ONLY = select({
    _COMPILER_IS_CLANG: [str(Label("//tools:needs_gcc"))],
    "//conditions:default": [],
}) + NEEDS_FUNCTION_ENTRIES

# The compiler's part, and what its points call, which every program with controlled threads has.
LOOP_PLUGIN = Label("//tools/loop_update_points:plugin")
LOOP_DEPS = [str(LOOP_PLUGIN), str(Label("//threads/internal:loop_update_point"))]

def loop_copts(mode, srcs):
    """The copts of update points in loops.

    Args:
      mode: "late" or "early".
      srcs: what is compiled with them.
    """
    in_c = [source for source in srcs if source.endswith(".c")] if type(srcs) == "list" else []
    if in_c:
        fail("loop_update_points is for C++, and %s is not: put it into a library without" % in_c[0])
    if mode not in ["late", "early"]:
        fail('loop_update_points is "late" or "early" (docs/loop_update_points.md says what each allows and costs)')
    plugin = "$(BINDIR)/%s%s/loop_update_points" % (
        LOOP_PLUGIN.workspace_root + "/" if LOOP_PLUGIN.workspace_root else "",
        LOOP_PLUGIN.package,
    )
    return [
        "-fplugin=%s.so" % plugin,
        "-fplugin-arg-loop_update_points-mode=" + mode,
        # Compiles anew what a changed plugin compiles otherwise.
        "-include",
        plugin + ".h",
    ]

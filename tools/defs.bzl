"""Rules for programs that can be updated while they run, and for their updates.

    load("//tools:defs.bzl", "updatable_cc_binary", "updatable_cc_library", "update_module")

    updatable_cc_library(name = "shop_lib", srcs = ["shop.cc"], hdrs = ["shop.h"])
    updatable_cc_binary(name = "shop", srcs = ["main.cc"], deps = [":shop_lib"])
    update_module(
        name = "add_ratings",
        srcs = ["add_ratings.cc"],
        hdrs = ["ratings.h"],
        program = ":shop",
        deps = [":shop_lib"],
    )
    update_module(
        name = "show_ratings",
        srcs = ["show_ratings.cc"],
        program = ":shop",
        requires = [":add_ratings"],
        deps = [":shop_lib"],
    )

The flags that the mechanisms rest on stand here and nowhere else; each says what goes wrong without it.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load(":entry_list.bzl", "without_entry_list")
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
_LOOP_PLUGIN = Label("//tools/loop_update_points:plugin")
_LOOP_DEPS = [str(_LOOP_PLUGIN), str(Label("//threads/internal:loop_update_point"))]

def _loop_copts(mode, srcs):
    in_c = [source for source in srcs if source.endswith(".c")] if type(srcs) == "list" else []
    if in_c:
        fail("loop_update_points is for C++, and %s is not: put it into a library without" % in_c[0])
    if mode not in ["late", "early"]:
        fail('loop_update_points is "late" or "early" (docs/loop_update_points.md says what each allows and costs)')
    plugin = "$(BINDIR)/%s%s/loop_update_points" % (
        _LOOP_PLUGIN.workspace_root + "/" if _LOOP_PLUGIN.workspace_root else "",
        _LOOP_PLUGIN.package,
    )
    return [
        "-fplugin=%s.so" % plugin,
        "-fplugin-arg-loop_update_points-mode=" + mode,
        # Compiles anew what a changed plugin compiles otherwise.
        "-include",
        plugin + ".h",
    ]

def updatable_cc_library(name, copts = [], linkopts = [], loop_update_points = None, **kwargs):
    """A cc_library whose functions can be redefined and intercepted.

    Args:
      name: the name of the target.
      copts: as of cc_library; they come after ours.
      linkopts: as of cc_library.
      loop_update_points: where an active thread can be updated besides at the entries of functions: "late", in loops,
        for redefinition, and for reboots out of endless ones; "early", for all of an update. docs/loop_update_points.md says more.
        Needs GCC and its gcc-N-plugin-dev.
      **kwargs: other attributes of cc_library. alwayslink is on unless said otherwise: a module may call what the
        program itself never calls.
    """
    kwargs.setdefault("alwayslink", True)
    if loop_update_points:
        copts = _loop_copts(loop_update_points, kwargs.get("srcs", [])) + copts
        kwargs["deps"] = kwargs.get("deps", []) + _LOOP_DEPS
    cc_library(
        name = name,
        copts = UPDATABLE_COPTS + copts,
        linkopts = UPDATABLE_LINKOPTS + linkopts,
        **kwargs
    )

def _finished_program_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    linked = ctx.file.linked
    arguments = ctx.actions.args()
    arguments.add("--program", linked)
    arguments.add("--output", program)
    ctx.actions.run(
        executable = ctx.executable._finish,
        arguments = [arguments],
        inputs = [linked],
        tools = [ctx.file._function_entries],
        outputs = [program],
        mnemonic = "UpdatableProgram",
        progress_message = "Finishing %s" % ctx.label,
        use_default_shell_env = True,
    )
    runfiles = ctx.runfiles(files = [program] + ctx.files.data)
    for target in [ctx.attr.linked] + ctx.attr.data:
        default_runfiles = target[DefaultInfo].default_runfiles
        if default_runfiles:
            runfiles = runfiles.merge(default_runfiles)
    return [DefaultInfo(files = depset([program]), executable = program, runfiles = runfiles)]

_finished_program = rule(
    implementation = _finished_program_impl,
    doc = "A copy of a linked program whose function entries are whole (function_entries.py says what and why).",
    attrs = {
        "linked": attr.label(allow_single_file = True, mandatory = True),
        "data": attr.label_list(allow_files = True),
        "_finish": attr.label(
            default = "//tools:finish_program.py",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
        "_function_entries": attr.label(
            default = "//tools:function_entries.py",
            allow_single_file = True,
        ),
    },
    executable = True,
)

# Attributes of cc_binary that say something of the target, not of what is linked.
_OF_TARGET = ["args", "compatible_with", "data", "deprecation", "restricted_to", "tags", "target_compatible_with", "testonly"]

def updatable_cc_binary(name, copts = [], linkopts = [], loop_update_points = None, visibility = None, **kwargs):
    """A cc_binary that can be updated while it runs.

    What the linker made is NAME_linked; NAME is the program, with whole function entries, debug information and the
    same build id. NAME.stripped is that without symbols and debug information, as of every cc_binary.

    Args:
      name: the name of the target.
      copts: as of cc_binary; they come after ours.
      linkopts: as of cc_binary.
      loop_update_points: as of updatable_cc_library.
      visibility: as of every rule.
      **kwargs: other attributes of cc_binary.
    """
    if loop_update_points:
        copts = _loop_copts(loop_update_points, kwargs.get("srcs", [])) + copts
        kwargs["deps"] = kwargs.get("deps", []) + _LOOP_DEPS
    for attribute in ["linkshared", "linkstatic"]:
        if attribute in kwargs:
            fail("updatable_cc_binary does not take " + attribute + ": a program holds its own libraries, so that " +
                 "modules find them in it")
    if "env" in kwargs:
        fail("updatable_cc_binary does not take env, which Bazel 4.2 hands on to no other rule: set it where NAME is run")
    kwargs["deps"] = kwargs.get("deps", []) + without_entry_list(linkopts)
    of_target = {key: kwargs[key] for key in _OF_TARGET if key in kwargs}
    linked = name + "_linked"
    kwargs.pop("args", None)
    kwargs["tags"] = kwargs.get("tags", []) + ["manual"]
    cc_binary(
        name = linked,
        copts = UPDATABLE_COPTS + copts,
        linkopts = UPDATABLE_LINKOPTS + linkopts,
        linkstatic = True,
        visibility = ["//visibility:private"],
        **kwargs
    )
    _finished_program(name = name, linked = ":" + linked, visibility = visibility, **of_target)
    of_target.pop("args", None)
    of_target["tags"] = kwargs["tags"]
    _finished_program(
        name = name + ".stripped",
        linked = ":" + linked + ".stripped",
        visibility = visibility,
        **of_target
    )

def updatable_cc_test(name, linkopts = [], **kwargs):
    """A cc_test that is linked as a program that can be updated.

    Its own sources are compiled as always: what is to be redefined stands in an updatable_cc_library.

    Args:
      name: the name of the target.
      linkopts: as of cc_test; they come after ours.
      **kwargs: other attributes of cc_test.
    """
    kwargs["deps"] = kwargs.get("deps", []) + without_entry_list(linkopts)
    cc_test(
        name = name,
        linkopts = UPDATABLE_LINKOPTS + linkopts,
        linkstatic = True,
        **kwargs
    )

def _headers_only_impl(ctx):
    merged = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps])
    return [CcInfo(compilation_context = merged.compilation_context)]

headers_only = rule(
    implementation = _headers_only_impl,
    doc = "The headers of its dependencies, without their code: linked into a module, the code would be a second " +
          "copy, whose static initializers run again on the program's own variables.",
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
    provides = [CcInfo],
)

def _module_note_impl(ctx):
    note = ctx.actions.declare_file(ctx.label.name + ".S")
    arguments = ctx.actions.args()
    arguments.add("--label", ctx.attr.module)
    arguments.add("--output", note)
    inputs = list(ctx.files.requires)
    if ctx.file.program:
        arguments.add("--program", ctx.file.program)
        inputs.append(ctx.file.program)
    arguments.add_all("--requires", ctx.files.requires)
    ctx.actions.run(
        executable = ctx.executable._write_note,
        arguments = [arguments],
        inputs = inputs,
        outputs = [note],
        mnemonic = "UpdateModuleNote",
        progress_message = "Noting what update module %s is built for" % ctx.attr.module,
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([note]))]

_module_note = rule(
    implementation = _module_note_impl,
    doc = "A source whose note says for which program and with which modules it was built (update_module_note.py).",
    attrs = {
        "module": attr.string(mandatory = True),
        "program": attr.label(allow_single_file = True),
        "requires": attr.label_list(allow_files = [".so"]),
        "_write_note": attr.label(
            default = "//tools:update_module_note.py",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
    },
)

def _code_of(dep):
    """The archives and object files that a program links for this dependency."""
    files = []
    for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
        for library in linker_input.libraries:
            archive = library.pic_static_library or library.static_library
            if archive:
                files.append(archive)
            else:
                files += library.pic_objects or library.objects or []
    return files

def _finished_module_impl(ctx):
    module = ctx.actions.declare_file(ctx.attr.module + ".so")
    linked = ctx.file.linked
    program = depset([file for dep in ctx.attr.deps for file in _code_of(dep)])
    inputs = [linked] + ctx.files.requires
    arguments = ctx.actions.args()
    arguments.add("--module", linked)
    arguments.add("--label", "//%s:%s" % (ctx.label.package, ctx.attr.module))
    arguments.add("--soname", ctx.attr.soname)
    arguments.add("--output", module)
    arguments.add_all("--program", program)
    arguments.add_all("--requires", ctx.files.requires)
    if ctx.file.program:
        arguments.add("--executable", ctx.file.program)
        inputs.append(ctx.file.program)
    ctx.actions.run(
        executable = ctx.executable._finish,
        arguments = [arguments],
        inputs = depset(inputs, transitive = [program]),
        tools = [ctx.file._function_entries],
        outputs = [module],
        mnemonic = "UpdateModule",
        progress_message = "Checking update module %s" % ctx.attr.module,
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([module]), runfiles = ctx.runfiles(files = [module]))]

_finished_module = rule(
    implementation = _finished_module_impl,
    doc = "Checks what was linked, and names it after its contents (finish_update_module.py says what and why).",
    attrs = {
        "module": attr.string(mandatory = True),
        "linked": attr.label(allow_single_file = True, mandatory = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "program": attr.label(allow_single_file = True),
        "requires": attr.label_list(allow_files = [".so"]),
        "soname": attr.string(mandatory = True),
        "_finish": attr.label(
            default = "//tools:finish_update_module.py",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
        "_function_entries": attr.label(
            default = "//tools:function_entries.py",
            allow_single_file = True,
        ),
    },
)

# The paths are those of runfiles, in which the working directory of `bazel run` lies, too.
_LOAD = """#!/usr/bin/env bash
# Applies the update {label} to the running program. Arguments go to `instarctl load`.
set -euo pipefail
runfiles=$(readlink -f "$(dirname "${{BASH_SOURCE[0]}}")")/$(basename "${{BASH_SOURCE[0]}}").runfiles
# Not that of a program which has been started by Bazel and starts this one.
[[ -d $runfiles ]] || runfiles=$RUNFILES_DIR
cd "$runfiles/{workspace}"
exec {instarctl} load "$(readlink -f {module})" "$@"
"""

def _runnable_module_impl(ctx):
    module = ctx.file.module
    script = ctx.actions.declare_file(ctx.label.name + "_load")
    ctx.actions.write(
        output = script,
        content = _LOAD.format(
            label = str(ctx.label),
            workspace = ctx.workspace_name,
            instarctl = ctx.executable._instarctl.short_path,
            module = module.short_path,
        ),
        is_executable = True,
    )
    runfiles = ctx.runfiles(files = [module])
    return [
        DefaultInfo(
            files = depset([module]),
            executable = script,
            # As data of something else it is the module alone.
            data_runfiles = runfiles,
            default_runfiles = runfiles.merge(ctx.runfiles(files = [script, ctx.executable._instarctl]))
                .merge(ctx.attr._instarctl[DefaultInfo].default_runfiles),
        ),
        CcInfo(compilation_context = ctx.attr.headers[CcInfo].compilation_context),
    ]

_runnable_module = rule(
    implementation = _runnable_module_impl,
    doc = "An update module that `bazel run` applies to the running program.",
    attrs = {
        "module": attr.label(allow_single_file = [".so"], mandatory = True),
        "headers": attr.label(providers = [CcInfo], mandatory = True),
        "_instarctl": attr.label(
            default = "//tools:instarctl",
            executable = True,
            cfg = "target",
        ),
    },
    executable = True,
    provides = [CcInfo],
)

def update_module(
        name,
        srcs,
        hdrs = [],
        deps = [],
        program = None,
        requires = [],
        copts = [],
        linkopts = [],
        loop_update_points = None,
        visibility = None,
        testonly = None,
        target_compatible_with = None,
        tags = []):
    """A shared object, NAME.so, that a running program loads as an update.

    `bazel run` of it applies the update to the running program, by `instarctl load`, to which the arguments after
    `--` go. Its output, and what it is as data, is the shared object; in $(location), say NAME.so.

    It holds the code of its srcs and nothing else. What it uses of its deps is in the program already, and what it
    uses of the modules that it requires is in them.

    Its DT_SONAME names its contents. So two builds of a module can be loaded into one program, and a module that
    requires another gets the very build that it was linked with.

    Args:
      name: the name of the target.
      srcs: the sources of the update, in C++ or C.
      hdrs: headers for modules that require this one.
      deps: the program's libraries whose headers are used. None of their code is linked.
      program: the executable that it is for. A module is loaded into this very build of it and no other, so that
        program and module are built together, with the same options. Without it the module is never loaded by a
        manager.
      requires: update modules that are loaded before this one.
      copts: as of cc_library.
      linkopts: as of cc_binary.
      loop_update_points: as of updatable_cc_library.
      visibility: as of every rule.
      testonly: as of every rule.
      target_compatible_with: as of every rule.
      tags: as of every rule.
    """
    inner = {
        "tags": tags + ["manual"],
        "target_compatible_with": target_compatible_with,
        "testonly": testonly,
        "visibility": ["//visibility:private"],
    }

    # Headers that are handed on without their code lose the module map that the check of layers looks at.
    no_layers = ["-layering_check"]
    headers_of_deps = name + "_headers_of_deps"
    headers = name + "_headers"
    linked = name + "_linked.so"
    note = name + "_note"

    # Replaced by the module's own name once its contents are known; finish_update_module.py knows the zeros.
    soname = name + ".0000000000000000.so"

    _module_note(
        name = note,
        module = "//%s:%s" % (native.package_name(), name),
        program = program,
        requires = requires,
        **inner
    )
    used = deps + requires + ([str(_LOOP_PLUGIN)] if loop_update_points else [])
    headers_only(name = headers_of_deps, deps = used, **inner)
    cc_library(name = headers, hdrs = hdrs, features = no_layers, deps = [":" + headers_of_deps], **inner)

    # GCC warns of flags that are for C++ alone, and does not load a plugin that is.
    in_c = [source for source in srcs if source.endswith(".c")]
    in_cc = [source for source in srcs if source not in in_c]
    if loop_update_points:
        in_c = in_c + [":" + note]
        loop_copts = _loop_copts(loop_update_points, in_cc)
    else:
        in_cc.append(":" + note)
        loop_copts = []
    c_objects = []
    if in_c:
        c_objects = [":" + name + "_in_c"]
        cc_library(
            name = name + "_in_c",
            srcs = in_c,
            alwayslink = True,
            features = no_layers,
            copts = UPDATABLE_COPTS + copts,
            linkstatic = True,
            deps = [":" + headers, ":" + headers_of_deps],
            **inner
        )
    cc_binary(
        name = linked,
        srcs = in_cc,
        features = no_layers,
        copts = UPDATE_MODULE_COPTS + loop_copts + copts,
        linkopts = [
            "-Wl,--gc-sections",
            "-Wl,--build-id=sha1",
            "-Wl,-soname," + soname,
        ] + ["$(location %s)" % module for module in requires] + linkopts,
        additional_linker_inputs = requires,
        linkshared = True,
        deps = c_objects + [":" + headers, ":" + headers_of_deps] + without_entry_list(linkopts),
        **inner
    )
    _finished_module(
        name = name + ".so",
        module = name,
        linked = ":" + linked,
        deps = deps,
        program = program,
        requires = requires,
        soname = soname,
        visibility = visibility,
        testonly = testonly,
        target_compatible_with = target_compatible_with,
        tags = tags,
    )
    _runnable_module(
        name = name,
        module = ":" + name + ".so",
        headers = ":" + headers,
        visibility = visibility,
        testonly = testonly,
        target_compatible_with = target_compatible_with,
        tags = tags,
    )

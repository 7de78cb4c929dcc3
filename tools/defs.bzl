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

The flags that the mechanisms rest on are in updatable_flags.bzl.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load(":entry_list.bzl", "without_entry_list")
load(
    ":updatable_flags.bzl",
    "LOOP_DEPS",
    "loop_copts",
    _GCC_FLAGS = "GCC_FLAGS",
    _GCC_ONLY = "GCC_ONLY",
    _UPDATABLE_COPTS = "UPDATABLE_COPTS",
    _UPDATABLE_LINKOPTS = "UPDATABLE_LINKOPTS",
    _UPDATE_MODULE_COPTS = "UPDATE_MODULE_COPTS",
)
load(":update_module.bzl", _headers_only = "headers_only", _update_module = "update_module")

GCC_FLAGS = _GCC_FLAGS
GCC_ONLY = _GCC_ONLY
UPDATABLE_COPTS = _UPDATABLE_COPTS
UPDATABLE_LINKOPTS = _UPDATABLE_LINKOPTS
UPDATE_MODULE_COPTS = _UPDATE_MODULE_COPTS
headers_only = _headers_only
update_module = _update_module

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
        copts = loop_copts(loop_update_points, kwargs.get("srcs", [])) + copts
        kwargs["deps"] = kwargs.get("deps", []) + LOOP_DEPS
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
        copts = loop_copts(loop_update_points, kwargs.get("srcs", [])) + copts
        kwargs["deps"] = kwargs.get("deps", []) + LOOP_DEPS
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

"""The rule update_module, which tools/defs.bzl hands on."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library")
load(":entry_list.bzl", "without_entry_list")
load(":updatable_flags.bzl", "LOOP_PLUGIN", "UPDATABLE_COPTS", "UPDATE_MODULE_COPTS", "loop_copts")

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
    used = deps + requires + ([str(LOOP_PLUGIN)] if loop_update_points else [])
    headers_only(name = headers_of_deps, deps = used, **inner)
    cc_library(name = headers, hdrs = hdrs, features = no_layers, deps = [":" + headers_of_deps], **inner)

    # GCC warns of flags that are for C++ alone, and does not load a plugin that is.
    in_c = [source for source in srcs if source.endswith(".c")]
    in_cc = [source for source in srcs if source not in in_c]
    if loop_update_points:
        in_c = in_c + [":" + note]
        points = loop_copts(loop_update_points, in_cc)
    else:
        in_cc.append(":" + note)
        points = []
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
        copts = UPDATE_MODULE_COPTS + points + copts,
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

"""Update modules from two builds.

    load("@instar//tools/differ:defs.bzl", "diff_update_module")

    diff_update_module(
        name = "fix",
        program = ":shop",
        old = [":shop_lib"],          # what the program was linked from
        new = ["//next:shop_lib"],    # the next version of it
    )

or, from a release file that was kept of what runs,

    instar_release(name = "release", program = ":shop", deps = [":shop_lib"])

    diff_update_module(name = "fix", old = "shop-1.0.release", new = [":shop_lib"])

docs/updates_from_two_builds.md says how it works.
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _objects(deps):
    """The objects of these libraries, by the names that they have in both builds."""
    objects = {}
    for dep in deps:
        for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
            if linker_input.owner != dep.label:
                continue  # of its own dependencies
            for library in linker_input.libraries:
                for file in library.pic_objects or library.objects or []:
                    # .../_objs/<target>/<source>.pic.o
                    name = file.path.split("/_objs/")[-1].split("/", 1)[-1].replace(".pic.o", ".o")
                    if name in objects:
                        fail("two of the libraries have an object %s: give them in rules of their own" % name)
                    objects[name] = file
    return objects

def _instar_release_impl(ctx):
    output = ctx.actions.declare_file(ctx.label.name + ".release")
    objects = _objects(ctx.attr.deps)
    arguments = ctx.actions.args()
    arguments.add("--quiet")
    arguments.add(ctx.file.program)
    arguments.add("--output", output)
    for name, file in objects.items():
        arguments.add("--object", file, format = name + "=%s")
    for earlier in ctx.files.after:
        arguments.add("--after", earlier)
    ctx.actions.run(
        executable = ctx.executable._release,
        arguments = [arguments],
        inputs = [ctx.file.program] + objects.values() + ctx.files.after,
        outputs = [output],
        # strip
        env = {"PATH": "/usr/bin:/bin"},
        mnemonic = "InstarRelease",
        progress_message = "Keeping what updates of %s need" % ctx.label,
    )
    return [DefaultInfo(files = depset([output]), runfiles = ctx.runfiles(files = [output]))]

instar_release = rule(
    implementation = _instar_release_impl,
    doc = "A release file, NAME.release: all that diff_update_module needs of the build that it is made in. Sources are not " +
          "in it, so that functions in which only numbers of lines have moved count as changed.",
    attrs = {
        "program": attr.label(
            allow_single_file = True,
            mandatory = True,
            doc = "the updatable_cc_binary",
        ),
        "deps": attr.label_list(
            providers = [CcInfo],
            mandatory = True,
            doc = "the updatable_cc_libraries that it is linked from and that may have a next version",
        ),
        "after": attr.label_list(
            allow_files = [".so"],
            doc = "as diff_update_module's; `deps` are then what the last of them brought",
        ),
        "_release": attr.label(
            default = "//tools/differ/release:instar-release",
            executable = True,
            # Built once, with all else.
            cfg = "target",
        ),
    },
)

def _diff_update_module_impl(ctx):
    module = ctx.actions.declare_file(ctx.label.name + ".so")
    report = ctx.actions.declare_file(ctx.label.name + ".json")
    releases = [target for target in ctx.attr.old if CcInfo not in target]
    if releases and (len(ctx.attr.old) != 1 or ctx.files.old[0].extension != "release"):
        fail("old: libraries, or one release file")
    if not releases and not ctx.file.program:
        fail("program: only a release file has it")
    old = {} if releases else _objects(ctx.attr.old)
    inputs = old.values() + ctx.files.after
    new = _objects(ctx.attr.new)
    toolchain = find_cpp_toolchain(ctx)
    arguments = ctx.actions.args()
    arguments.add("--quiet")
    if ctx.file.program:
        arguments.add("--program", ctx.file.program)
        inputs.append(ctx.file.program)
    if releases:
        arguments.add("--old", ctx.files.old[0])
        inputs.append(ctx.files.old[0])
    arguments.add("--name", ctx.attr.update_name or ctx.label.name)
    arguments.add("--output", module)
    arguments.add("--json", report)
    for name, file in old.items():
        arguments.add("--old-object", file, format = name + "=%s")
    for name, file in new.items():
        arguments.add("--new-object", file, format = name + "=%s")
    for earlier in ctx.files.after:
        arguments.add("--after", earlier)
    for type_name in ctx.attr.allow_types:
        arguments.add("--allow-type", type_name)
    for function in ctx.attr.at_next_call:
        arguments.add("--at-next-call", function)
    for function in ctx.attr.wait_for:
        arguments.add("--wait-for", function)
    ctx.actions.run(
        executable = ctx.executable._differ,
        arguments = [arguments],
        inputs = depset(
            inputs + new.values(),
            transitive = [toolchain.all_files],
        ),
        outputs = [module, report],
        env = {
            "INSTAR_CXX": toolchain.compiler_executable,
            "PATH": "/usr/bin:/bin",
        },
        mnemonic = "DiffUpdateModule",
        progress_message = "Comparing two builds for %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset([module]), runfiles = ctx.runfiles(files = [module])),
        OutputGroupInfo(report = depset([report])),
    ]

_diff_update_module = rule(
    implementation = _diff_update_module_impl,
    doc = "An update module, NAME.so, of what has changed between two builds of a program's libraries, and the report, " +
          "NAME.json (--output_groups=report).",
    attrs = {
        "program": attr.label(
            allow_single_file = True,
            doc = "the updatable_cc_binary that runs",
        ),
        "old": attr.label_list(
            allow_files = True,
            mandatory = True,
        ),
        "new": attr.label_list(
            providers = [CcInfo],
            mandatory = True,
            doc = "their next versions, whose sources have the same names",
        ),
        "after": attr.label_list(
            allow_files = [".so"],
            doc = "modules of this rule that have been applied before, in their order; `old` is what they brought",
        ),
        "update_name": attr.string(doc = "by default the name of the target"),
        "allow_types": attr.string_list(doc = "as instar-diff's --allow-type"),
        "at_next_call": attr.string_list(doc = "as instar-diff's --at-next-call"),
        "wait_for": attr.string_list(doc = "as instar-diff's --wait-for"),
        "_differ": attr.label(
            default = "//tools/differ:instar-diff",
            executable = True,
            # Built once, with all else.
            cfg = "target",
        ),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def diff_update_module(name, new, old, program = None, **kwargs):
    """An update module, NAME.so, of what has changed, and the report, NAME.json (--output_groups=report).

    Args:
      name: of the target, and of the update unless update_name is given.
      new: the next versions of the libraries, whose sources have the same names.
      old: the updatable_cc_libraries that the program was linked from and that have a next version; or the label of a
        release file (instar_release, or a file that was kept).
      program: the updatable_cc_binary that runs; a release file has it.
      **kwargs: after, update_name, allow_types, at_next_call, wait_for; what every rule has.
    """
    _diff_update_module(
        name = name,
        new = new,
        old = old if type(old) != type("") else [old],
        program = program,
        **kwargs
    )

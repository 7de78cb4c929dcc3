"""What keeps the compiler's lists of patchable entries out of what is linked.

They may refer to functions of C++ whose duplicates were discarded, which bfd and lld refuse to link; tools/install/entry_list.lds
discards them. gold knows no such script, and drops them with what else nothing refers to.
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

_LINK = "c++-link-executable"
_GOLD = "-fuse-ld=gold"

def _linker_of(options):
    chosen = [option for option in options if option.startswith("-fuse-ld=")]
    return chosen[-1] if chosen else None

def _discarded_entry_list_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    options = cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = _LINK,
        variables = cc_common.create_link_variables(
            feature_configuration = features,
            cc_toolchain = toolchain,
            user_link_flags = ctx.fragments.cpp.linkopts,
        ),
    )
    if not ctx.attr.by_other_linker and _linker_of(options) == _GOLD:
        return [CcInfo()]
    script = ctx.file._script
    return [CcInfo(linking_context = cc_common.create_linking_context(
        linker_inputs = depset([cc_common.create_linker_input(
            owner = ctx.label,
            user_link_flags = depset(["-Wl,-T," + script.path]),
            additional_inputs = depset([script]),
        )]),
    ))]

discarded_entry_list = rule(
    implementation = _discarded_entry_list_impl,
    doc = "As a dependency: the script of the linker, unless that is gold.",
    attrs = {
        "by_other_linker": attr.bool(doc = "whatever the toolchain's linker is, another one links, and not gold"),
        "_script": attr.label(default = "//tools/install:entry_list.lds", allow_single_file = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    provides = [CcInfo],
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def without_entry_list(linkopts):
    """The dependencies of what is linked with these options.

    Args:
      linkopts: as of cc_binary; what they say of the linker is not seen in a select().

    Returns:
      labels.
    """
    linker = _linker_of(linkopts) if type(linkopts) == "list" else None
    if linker == _GOLD:
        return []
    name = "discarded_entry_list" if linker == None else "discarded_entry_list_by_other_linker"
    return [str(Label("//tools:" + name))]

"""What modules may need of a library, whether the program itself uses it or not."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _whole(ctx, toolchain, features, library):
    if library.alwayslink or not (library.static_library or library.pic_static_library):
        return library
    return cc_common.create_library_to_link(
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = toolchain,
        static_library = library.static_library,
        pic_static_library = library.pic_static_library,
        dynamic_library = library.resolved_symlink_dynamic_library or library.dynamic_library,
        alwayslink = True,
    )

def _module_api_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    merged = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps])
    inputs = []
    for linker_input in merged.linking_context.linker_inputs.to_list():
        # Of others, Abseil say, a program keeps what is used, as before.
        if linker_input.owner.workspace_name == ctx.label.workspace_name:
            linker_input = cc_common.create_linker_input(
                owner = linker_input.owner,
                libraries = depset([
                    _whole(ctx, toolchain, features, library)
                    for library in linker_input.libraries
                ]),
                user_link_flags = depset(linker_input.user_link_flags),
                additional_inputs = depset(linker_input.additional_inputs),
            )
        inputs.append(linker_input)
    archives = [
        archive
        for linker_input in inputs
        if linker_input.owner.workspace_name == ctx.label.workspace_name
        for library in linker_input.libraries
        for archive in [library.pic_static_library or library.static_library]
        if archive
    ]
    return [
        CcInfo(
            compilation_context = merged.compilation_context,
            linking_context = cc_common.create_linking_context(linker_inputs = depset(inputs)),
        ),
        OutputGroupInfo(archives = depset(archives)),
    ]

module_api = rule(
    implementation = _module_api_impl,
    doc = "Its dependencies of this repository, and what these depend on there, with all of their object files: an " +
          "archive gives a program only those that it uses itself, and a module that uses another one could not be " +
          "loaded into it.",
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    provides = [CcInfo],
)

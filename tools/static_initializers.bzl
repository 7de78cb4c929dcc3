"""The archives of libraries and of all that they depend on in this repository."""

def _library_archives_impl(ctx):
    archives = []
    for dep in ctx.attr.deps:
        for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
            if linker_input.owner.workspace_name != ctx.label.workspace_name:
                continue
            for library in linker_input.libraries:
                archive = library.pic_static_library or library.static_library
                if archive:
                    archives.append(archive)
    files = depset(archives)
    return [DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files))]

library_archives = rule(
    implementation = _library_archives_impl,
    doc = "The archives of its dependencies, without those of other repositories.",
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
)

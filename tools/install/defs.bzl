"""What is installed, as Bazel makes it."""

def _installed_headers_impl(ctx):
    headers = [
        header
        for dep in ctx.attr.deps
        for header in dep[CcInfo].compilation_context.headers.to_list()
        if header.owner.workspace_name == ctx.label.workspace_name
    ]
    archive = ctx.actions.declare_file(ctx.label.name + ".tar")
    arguments = ctx.actions.args()
    arguments.add("--output", archive)
    arguments.add_all(depset(headers))
    ctx.actions.run(
        executable = ctx.executable._pack,
        arguments = [arguments],
        inputs = headers,
        outputs = [archive],
        mnemonic = "InstalledHeaders",
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([archive]), runfiles = ctx.runfiles(files = [archive]))]

installed_headers = rule(
    implementation = _installed_headers_impl,
    doc = "An archive of the headers of its dependencies and of all that these include of this repository, below a " +
          "folder instar/, by which they include each other (pack_headers.py).",
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "_pack": attr.label(
            default = "//tools/install:pack_headers.py",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
    },
)

def shell_array(name, values):
    """A line of bash that sets an array.

    Args:
      name: of the variable.
      values: strings without quotation marks.

    Returns:
      the line.
    """
    return "%s=(%s)" % (name, " ".join(["'%s'" % value for value in values]))

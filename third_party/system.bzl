"""Repository rules that find what Instar needs among the packages of the system, without a network.

Each repository carries the name and the labels that its upstream uses, so that a workspace which fetches the same
libraries in another way declares its own repositories (repositories.bzl) and keeps every BUILD file.
"""

_INSTALL_ALL = "tools/bazelw installs everything that Instar needs"

def _missing(ctx, what, package, otherwise = ""):
    or_else = " (on a release that lacks it: {})".format(otherwise) if otherwise else ""
    fail(("\n\n{what} is missing. It comes with the Debian package {package}{or_else}. Install it with\n\n" +
          "    sudo apt-get install {package}\n\n({all})\n").format(
        what = what,
        package = package,
        or_else = or_else,
        all = _INSTALL_ALL,
    ))

def _require(ctx, path, package, otherwise):
    if not ctx.path(path).exists:
        _missing(ctx, path, package, otherwise)

def _system_library_impl(ctx):
    for path in ctx.attr.requires:
        _require(ctx, path, ctx.attr.package, ctx.attr.otherwise)
    ctx.file("WORKSPACE", 'workspace(name = "%s")\n' % ctx.name)
    ctx.symlink(ctx.attr.build_file, "BUILD")

system_library = repository_rule(
    implementation = _system_library_impl,
    doc = "A library that the compiler finds by itself; the BUILD file only says how to link it.",
    attrs = {
        "package": attr.string(mandatory = True, doc = "the Debian package that holds the library"),
        "otherwise": attr.string(doc = "the package on a release that does not have that one"),
        "requires": attr.string_list(doc = "files of that package without which nothing would build"),
        "build_file": attr.label(mandatory = True, allow_single_file = True),
    },
    local = True,
)

def _pkg_config_repository_impl(ctx):
    pkg_config = ctx.which("pkg-config")
    if not pkg_config:
        _missing(ctx, "pkg-config", "pkg-config")
    ctx.file("WORKSPACE", 'workspace(name = "%s")\n' % ctx.name)
    for folder, names in ctx.attr.targets.items():
        lines = [
            'load("@rules_cc//cc:defs.bzl", "cc_library")\n',
            'package(default_visibility = ["//visibility:public"])\n',
        ]
        for name in names:
            module = ctx.attr.prefix + name
            result = ctx.execute([pkg_config, "--libs", module])
            if result.return_code != 0:
                _missing(ctx, "pkg-config module " + module, ctx.attr.package)
            lines.append('cc_library(name = "%s", linkopts = %s)\n' % (name, repr([flag for flag in result.stdout.strip().split(" ") if flag])))
        ctx.file(folder + "/BUILD", "\n".join(lines))

pkg_config_repository = repository_rule(
    implementation = _pkg_config_repository_impl,
    doc = "A collection of libraries, one pkg-config module each, under the labels of their upstream.",
    attrs = {
        "package": attr.string(mandatory = True, doc = "the Debian package that holds the libraries"),
        "prefix": attr.string(doc = "what precedes a target's name in the name of its pkg-config module"),
        "targets": attr.string_list_dict(mandatory = True, doc = "folder -> names of its targets"),
    },
    local = True,
)

def _system_rules_impl(ctx):
    root = ctx.path(ctx.attr.path)
    if not root.exists:
        _missing(ctx, ctx.attr.path, ctx.attr.package)
    for entry in root.readdir():
        if entry.basename not in ["WORKSPACE", "MODULE.bazel"]:
            ctx.symlink(entry, entry.basename)
    ctx.file("WORKSPACE", 'workspace(name = "%s")\n' % ctx.name)

system_rules = repository_rule(
    implementation = _system_rules_impl,
    doc = "Bazel rules that a Debian package installs as a tree of source files.",
    attrs = {
        "package": attr.string(mandatory = True),
        "path": attr.string(mandatory = True),
    },
    local = True,
)

# rules_cc 0.0.4 loads a symbol that Bazel 4.2 does not have yet. These two files of it are rewritten, the others are
# used as they are installed.
_RULES_CC_REWRITTEN = ["compiler_flag.bzl", "cc_flags_supplier.bzl"]

def _link_all(ctx, root, folder, but):
    """Links every entry of root/folder except those named; returns the path of the folder."""
    path = root
    for part in folder.split("/"):
        path = path.get_child(part) if part else path
    for entry in path.readdir():
        if entry.basename not in but:
            ctx.symlink(entry, folder + "/" + entry.basename if folder else entry.basename)
    return path

def _system_rules_cc_impl(ctx):
    root = ctx.path(ctx.attr.path)
    if not root.exists:
        _missing(ctx, ctx.attr.path, ctx.attr.package)

    _link_all(ctx, root, "", ["WORKSPACE", "MODULE.bazel", "cc", "tools", "third_party"])
    _link_all(ctx, root, "cc", ["private"])
    _link_all(ctx, root, "cc/private", ["rules_impl"])
    rules_impl = _link_all(ctx, root, "cc/private/rules_impl", _RULES_CC_REWRITTEN)
    for name in _RULES_CC_REWRITTEN:
        text = ctx.read(rules_impl.get_child(name))
        text = text.replace(', "use_cpp_toolchain"', "")
        text = text.replace("use_cpp_toolchain()", '["@bazel_tools//tools/cpp:toolchain_type"]')
        ctx.file("cc/private/rules_impl/" + name, text)
    ctx.file("WORKSPACE", 'workspace(name = "rules_cc")\n')

system_rules_cc = repository_rule(
    implementation = _system_rules_cc_impl,
    doc = "rules_cc as Debian installs it, made to load in Bazel 4.2.",
    attrs = {
        "package": attr.string(mandatory = True),
        "path": attr.string(mandatory = True),
    },
    local = True,
)

def _linker_repository_impl(ctx):
    ctx.file("WORKSPACE", 'workspace(name = "%s")\n' % ctx.name)
    ctx.file("BUILD", "")
    folds = ctx.which("ld.gold") != None
    ctx.file("defs.bzl", "FOLD_FUNCTIONS_LINKOPTS = %s\n" % (["-Wl,--icf=all"] if folds else []))

linker_repository = repository_rule(
    implementation = _linker_repository_impl,
    doc = "What the linker can do that Bazel's C++ toolchain takes: gold where it is installed (it is a package of its " +
          "own on Debian 13), or bfd, which folds no functions.",
    local = True,
)

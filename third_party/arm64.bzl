"""Debian's cross compiler for arm64, with a folder of arm64's libraries that tools/test_on arm64 makes."""

_SYSROOT = "INSTAR_ARM64_SYSROOT"
_TOOLS = ["ar", "cpp", "dwp", "gcc", "gcov", "ld", "nm", "objcopy", "objdump", "strip"]

_BUILD = """
load("@bazel_tools//tools/cpp:unix_cc_toolchain_config.bzl", "cc_toolchain_config")

package(default_visibility = ["//visibility:public"])

platform(
    name = "linux_arm64",
    constraint_values = [
        "@platforms//cpu:aarch64",
        "@platforms//os:linux",
    ],
)

toolchain(
    name = "toolchain",
    exec_compatible_with = ["@platforms//os:linux"],
    target_compatible_with = [
        "@platforms//cpu:aarch64",
        "@platforms//os:linux",
    ],
    toolchain = ":cc",
    toolchain_type = "@bazel_tools//tools/cpp:toolchain_type",
)

filegroup(name = "none")

cc_toolchain(
    name = "cc",
    all_files = ":none",
    ar_files = ":none",
    as_files = ":none",
    compiler_files = ":none",
    dwp_files = ":none",
    linker_files = ":none",
    objcopy_files = ":none",
    strip_files = ":none",
    supports_param_files = 1,
    toolchain_config = ":config",
)

# As Bazel finds for the processor that it runs on.
cc_toolchain_config(
    name = "config",
    abi_libc_version = "glibc",
    abi_version = "gcc",
    builtin_sysroot = "{sysroot}",
    compile_flags = [
        "-U_FORTIFY_SOURCE",
        "-fstack-protector",
        "-Wall",
        "-Wno-free-nonheap-object",
        "-fno-omit-frame-pointer",
    ],
    compiler = "compiler",
    coverage_compile_flags = ["--coverage"],
    coverage_link_flags = ["--coverage"],
    cpu = "aarch64",
    cxx_builtin_include_directories = {includes},
    cxx_flags = ["-std=c++0x"],
    dbg_compile_flags = ["-g"],
    host_system_name = "local",
    # What a library needs of others is found beside it.
    link_flags = [
        "-Wl,-no-as-needed",
        "-Wl,-z,relro,-z,now",
        "-Wl,-rpath-link,{sysroot}/usr/lib/aarch64-linux-gnu",
        "-Wl,-rpath-link,{sysroot}/lib/aarch64-linux-gnu",
        "-pass-exit-codes",
    ],
    link_libs = [
        "-lstdc++",
        "-lm",
    ],
    opt_compile_flags = [
        "-g0",
        "-O2",
        "-D_FORTIFY_SOURCE=1",
        "-DNDEBUG",
        "-ffunction-sections",
        "-fdata-sections",
    ],
    opt_link_flags = ["-Wl,--gc-sections"],
    supports_start_end_lib = False,
    target_libc = "glibc",
    target_system_name = "aarch64-linux-gnu",
    tool_paths = {tools},
    toolchain_identifier = "instar_arm64",
    unfiltered_compile_flags = [
        "-fno-canonical-system-headers",
        "-Wno-builtin-macro-redefined",
        '-D__DATE__="redacted"',
        '-D__TIMESTAMP__="redacted"',
        '-D__TIME__="redacted"',
    ],
)
"""

def _arm64_repository_impl(ctx):
    sysroot = ctx.os.environ.get(_SYSROOT, "")
    compiler = ctx.which("aarch64-linux-gnu-g++")
    if not sysroot or not compiler:
        fail(("\n\n--config=arm64 needs Debian's g++-aarch64-linux-gnu, and its libraries for arm64 in a folder that " +
              "the variable %s names.\n`tools/test_on arm64` has both.\n") % _SYSROOT)
    result = ctx.execute([compiler, "--sysroot=" + sysroot, "-E", "-x", "c++", "/dev/null", "-v"])
    after = result.stderr.split("#include <...> search starts here:\n")
    if result.return_code != 0 or len(after) != 2:
        fail("%s does not say where it looks for headers:\n%s" % (compiler, result.stderr))
    includes = [
        str(ctx.path(line.strip()).realpath)
        for line in after[1].split("End of search list")[0].splitlines()
        if line.strip()
    ]
    tools = {tool: "/usr/bin/aarch64-linux-gnu-" + tool for tool in _TOOLS}
    tools["llvm-cov"] = "/usr/bin/llvm-cov"  # which Bazel asks for, and never uses
    ctx.file("WORKSPACE", 'workspace(name = "%s")\n' % ctx.name)
    ctx.file("BUILD", _BUILD.format(includes = repr(includes), sysroot = sysroot, tools = repr(tools)))

arm64_repository = repository_rule(
    implementation = _arm64_repository_impl,
    doc = "A platform and a C++ toolchain for it. Fetched where it is asked for alone.",
    environ = [_SYSROOT],
    local = True,
)

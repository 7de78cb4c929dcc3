"""The repositories that Instar needs.

In a workspace that uses Instar:

    load("@instar//third_party:repositories.bzl", "instar_repositories")

    instar_repositories()

Every one is a package of the system (debian_packages.txt lists them). A workspace that takes one from elsewhere
declares a repository of that name before; the BUILD files use the labels of each library's upstream.
"""

load(":absl.bzl", "ABSL_TARGETS")
load(":arm64.bzl", "arm64_repository")
load(
    ":system.bzl",
    "linker_repository",
    "pkg_config_repository",
    "system_library",
    "system_rules",
    "system_rules_cc",
)

def _declare(rule, name, **kwargs):
    if not native.existing_rule(name):
        rule(name = name, **kwargs)

def instar_repositories():
    """Declares those that are not declared yet."""
    _declare(
        system_rules_cc,
        name = "rules_cc",
        package = "bazel-rules-cc",
        path = "/usr/share/bazel/rules/cc",
    )

    _declare(
        system_rules,
        name = "rules_java",
        package = "bazel-rules-java",
        path = "/usr/share/bazel/rules/java",
    )

    _declare(
        system_rules,
        name = "bazel_skylib",
        package = "bazel-skylib",
        path = "/usr/share/bazel/tools/skylib",
    )

    # `bazel test` asks for this repository even when no coverage is collected.
    _declare(
        system_library,
        name = "remote_coverage_tools",
        build_file = Label("//third_party:coverage_tools.BUILD"),
        package = "bazel-bootstrap",
    )

    _declare(
        pkg_config_repository,
        name = "com_google_absl",
        package = "libabsl-dev",
        prefix = "absl_",
        targets = ABSL_TARGETS,
    )

    _declare(
        system_library,
        name = "boost",
        build_file = Label("//third_party:boost.BUILD"),
        # Debian 12's unversioned package is 1.74.
        package = "libboost-context1.81-dev",
        otherwise = "libboost-context-dev",
        requires = [
            "/usr/include/boost/asio.hpp",
            "/usr/include/boost/beast.hpp",
            "/usr/include/boost/context/detail/fcontext.hpp",
            "/usr/include/boost/multiprecision/cpp_int.hpp",
        ],
    )

    _declare(
        system_library,
        name = "libunwind",
        build_file = Label("//third_party:libunwind.BUILD"),
        package = "libunwind-dev",
        requires = ["/usr/include/x86_64-linux-gnu/libunwind.h"],
    )

    _declare(
        system_library,
        name = "elfutils",
        build_file = Label("//third_party:elfutils.BUILD"),
        package = "libdw-dev",
        requires = ["/usr/include/elfutils/libdw.h"],
    )

    _declare(
        system_library,
        name = "libarchive",
        build_file = Label("//third_party:libarchive.BUILD"),
        package = "libarchive-dev",
        requires = ["/usr/include/archive.h"],
    )

    _declare(
        system_library,
        name = "com_google_googletest",
        build_file = Label("//third_party:googletest.BUILD"),
        package = "libgmock-dev",
        requires = [
            "/usr/include/gmock/gmock.h",
            "/usr/include/gtest/gtest.h",
        ],
    )

    _declare(
        system_library,
        name = "com_github_google_benchmark",
        build_file = Label("//third_party:benchmark.BUILD"),
        package = "libbenchmark-dev",
        requires = ["/usr/include/benchmark/benchmark.h"],
    )

    _declare(
        system_library,
        name = "cli11",
        build_file = Label("//third_party:cli11.BUILD"),
        package = "libcli11-dev",
        requires = ["/usr/include/CLI/CLI.hpp"],
    )

    _declare(
        system_library,
        name = "nlohmann_json",
        build_file = Label("//third_party:nlohmann_json.BUILD"),
        package = "nlohmann-json3-dev",
        requires = ["/usr/include/nlohmann/json.hpp"],
    )

    _declare(
        system_library,
        name = "zydis",
        build_file = Label("//third_party:zydis.BUILD"),
        package = "libzydis-dev",
        requires = ["/usr/include/Zydis/Zydis.h"],
    )

    _declare(
        linker_repository,
        name = "instar_linker",
    )

    _declare(
        arm64_repository,
        name = "instar_arm64",
    )

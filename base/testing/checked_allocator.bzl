"""Tests that are run a second time in a world that ends them when the library
allocates, or an author's code locks, while threads are held
(checked_world.h)."""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("//tools:defs.bzl", "updatable_cc_test")

def checked_cc_test(name, srcs, deps, size = "medium", copts = [], tags = [], target_compatible_with = []):
    """The updatable_cc_tests NAME_test and NAME_allocator_test, whose sources are compiled once.

    Args:
      name: of the tests, without `_test`.
      srcs: as of cc_test.
      deps: as of cc_test.
      size: as of cc_test.
      copts: as of cc_test.
      tags: as of cc_test.
      target_compatible_with: as of cc_test.
    """
    cc_library(
        name = name + "_test_code",
        testonly = True,
        srcs = srcs,
        copts = copts,
        linkstatic = True,
        tags = tags,
        target_compatible_with = target_compatible_with,
        deps = deps,
        # GoogleTest finds tests by their initializers.
        alwayslink = True,
    )
    for suffix, more_tags, more_deps in [
        ("", [], []),
        (
            "_allocator",
            [
                "no_asan",
                "no_tsan",
            ],
            ["//base/testing:checked_world"],
        ),
    ]:
        updatable_cc_test(
            name = name + suffix + "_test",
            size = size,
            tags = tags + more_tags,
            target_compatible_with = target_compatible_with,
            deps = more_deps + [
                ":" + name + "_test_code",
                "@com_google_googletest//:gtest_main",
            ],
        )

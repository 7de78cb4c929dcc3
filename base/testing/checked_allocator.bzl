"""Tests that are run a second time with an allocator that ends them when a
thread allocates while it holds others: [(suffix, tags, deps)]."""

ALLOCATORS = [
    ("", [], []),
    (
        "_allocator",
        [
            "no_asan",
            "no_tsan",
        ],
        ["//base/testing:checked_allocator"],
    ),
]

"""Tests that are run a second time in a world that ends them when the library
allocates, or an author's code locks, while threads are held
(checked_world.h): [(suffix, tags, deps)]."""

ALLOCATORS = [
    ("", [], []),
    (
        "_allocator",
        [
            "no_asan",
            "no_tsan",
        ],
        ["//base/testing:checked_world"],
    ),
]

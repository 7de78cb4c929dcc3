"""Compiles the examples in the comments of a package's public headers.

    load("//tools/header_examples:defs.bzl", "header_examples_test")

    header_examples_test(prelude = "internal/header_examples.h")     # at the end of a BUILD file

extract.py says what an example is. The test passes if they compile: they are not linked, and not run.
"""

load("@rules_cc//cc:defs.bzl", "cc_library")

_PUBLIC = "//visibility:public"

# Of a library that says nothing, Bazel 4.2 does not tell its package's default.
def _public_libraries(all_are_public):
    return [
        rule
        for rule in native.existing_rules().values()
        if rule["kind"] == "cc_library" and not rule.get("testonly") and rule.get("hdrs") and
           (_PUBLIC in rule.get("visibility", []) or (all_are_public and not rule.get("visibility")))
    ]

def header_examples_test(prelude = None, deps = [], all_are_public = False):
    """A test of the examples of all public headers of the libraries above it.

    Args:
      prelude: a header that declares what the examples leave out, in the namespace instar::header_examples::NAME_h for
        those of NAME.h, and includes what they use of other libraries.
      deps: the libraries that it includes.
      all_are_public: whether libraries that say nothing of their visibility are public, as the package has it.
    """
    libraries = _public_libraries(all_are_public)
    if not libraries:
        fail("there is no public library with headers above it")
    headers = [header for library in libraries for header in library["hdrs"] if "internal/" not in header]
    preludes = [prelude] if prelude else []
    native.genrule(
        name = "header_examples_extracted",
        testonly = True,
        srcs = headers + preludes,
        outs = ["header_examples.cc"],
        cmd = "$(location //tools/header_examples:extract.py) --output $@" +
              (" --prelude $(location %s) " % prelude if prelude else " ") +
              " ".join(["$(locations %s)" % header for header in headers]),
        tags = ["manual"],
        tools = ["//tools/header_examples:extract.py"],
    )
    cc_library(
        name = "header_examples_compiled",
        testonly = True,
        srcs = ["header_examples.cc"] + preludes,
        # Examples leave variables unused.
        copts = [
            "-O0",
            "-w",
        ],
        linkstatic = True,
        tags = ["manual"],
        deps = [":" + library["name"] for library in libraries] + deps + ["//tools/header_examples:anything"],
    )
    # A library in data is not built for that: its files are.
    native.filegroup(
        name = "header_examples_objects",
        testonly = True,
        srcs = [":header_examples_compiled"],
        tags = ["manual"],
    )
    native.sh_test(
        name = "header_examples_test",
        size = "small",
        srcs = ["//tools/header_examples:compiled_test.sh"],
        args = ["$(rootpaths :header_examples_objects)"],
        data = [":header_examples_objects"],
        # Nothing runs.
        tags = [
            "no_asan",
            "no_tsan",
            "no_ubsan",
        ],
    )

"""What every example has: a demo that plays it, and tests of what it says and of the page that tells of it."""

load("@rules_cc//cc:defs.bzl", "cc_binary")

def scenario(name, page, quotes, data, deps = [], tags = []):
    """A binary `demo` of demo.cc, `scenario_test` and `quotes_test`.

    Args:
      name: the name of the demo.
      page: the label of the page that tells of the example.
      quotes: sources that the page may quote.
      data: the program and its updates.
      deps: of demo.cc, besides the scenario.
      tags: of scenario_test.
    """
    cc_binary(
        name = name,
        srcs = [name + ".cc"],
        data = data,
        deps = deps + ["//examples/scenario"],
    )
    native.sh_test(
        name = "scenario_test",
        size = "medium",
        srcs = ["//examples/scenario:transcript_test.sh"],
        args = ["$(rootpath :%s)" % name, "$(rootpath transcript.txt)"],
        data = data + [":" + name, "transcript.txt"],
        tags = tags,
    )
    native.sh_test(
        name = "quotes_test",
        size = "small",
        srcs = ["//examples/scenario:quotes_test.py"],
        args = ["$(rootpath %s)" % page, "$(rootpath transcript.txt)"] + ["$(rootpath %s)" % source for source in quotes],
        data = [page, "transcript.txt"] + quotes,
    )

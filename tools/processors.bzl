"""What differs between processors (docs/processors.md)."""

# Labels of this repository, also where another one uses these macros.
_PORTABLE_X86_64 = str(Label("//tools:portable_x86_64"))
_X86_64 = str(Label("//tools:x86_64"))
_ARM64 = str(Label("//tools:arm64"))
_NEEDS_FUNCTION_ENTRIES = str(Label("//tools:needs_function_entries"))
_NEEDS_X86_64 = str(Label("//tools:needs_x86_64"))

def where_own_code(own, elsewhere = []):
    """`own` on processors that there is code of our own for; with --config=portable on none."""
    return select({
        _PORTABLE_X86_64: elsewhere,
        _X86_64: own,
        "//conditions:default": elsewhere,
    })

def by_processor(x86_64, arm64, otherwise = []):
    """Code of our own that --config=portable keeps, since there is nothing else."""
    return select({
        _X86_64: x86_64,
        _ARM64: arm64,
        "//conditions:default": otherwise,
    })

# As target_compatible_with: what is about function entries is left out of a build of all where there are none.
NEEDS_FUNCTION_ENTRIES = where_own_code([], [_NEEDS_FUNCTION_ENTRIES])

# The same of what knows the machine code of x86-64.
NEEDS_X86_64 = by_processor([], [_NEEDS_X86_64], [_NEEDS_X86_64])

"""The version of Instar, in one place."""

# Before 1.0 any minor version may change the interface, and the name of the shared library with it.
INSTAR_VERSION = "0.1.0"
INSTAR_SONAME = "libinstar.so.0.1"

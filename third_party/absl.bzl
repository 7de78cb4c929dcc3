"""The targets of Abseil that Instar uses, by folder. Adding a name here is all that a new one needs."""

ABSL_TARGETS = {
    "absl/base": ["base", "config", "core_headers"],
    "absl/cleanup": ["cleanup"],
    "absl/container": ["flat_hash_map", "flat_hash_set", "inlined_vector"],
    "absl/debugging": ["symbolize"],
    "absl/functional": ["any_invocable", "function_ref"],
    "absl/hash": ["hash"],
    "absl/memory": ["memory"],
    "absl/status": ["status", "statusor"],
    "absl/strings": ["cord", "str_format", "strings"],
    "absl/synchronization": ["synchronization"],
    "absl/time": ["time"],
    "absl/types": ["optional", "span"],
}

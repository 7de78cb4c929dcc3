#!/usr/bin/env bash
# What Bazel says when a package of the system is missing: the package's name and the command that installs it.
set -euo pipefail

system_bzl=$PWD/$1
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
mkdir "$sandbox/third_party"
cp "$system_bzl" "$sandbox/third_party/system.bzl"
touch "$sandbox/BUILD" "$sandbox/third_party/BUILD" "$sandbox/third_party/absent.BUILD"
cat >"$sandbox/WORKSPACE" <<'WORKSPACE'
load("//third_party:system.bzl", "pkg_config_repository", "system_library", "system_rules", "system_rules_cc")

system_library(
    name = "library",
    build_file = "//third_party:absent.BUILD",
    package = "libabsent-dev",
    requires = ["/usr/include/absent.h"],
)

pkg_config_repository(
    name = "module",
    package = "libabsent-dev",
    prefix = "absent_",
    targets = {"absent/base": ["core"]},
)

system_rules(
    name = "rules",
    package = "bazel-rules-absent",
    path = "/usr/share/bazel/rules/absent",
)

system_rules_cc(
    name = "rules_of_cc",
    package = "bazel-rules-absent",
    path = "/usr/share/bazel/rules/absent",
)
WORKSPACE

cd "$sandbox"
output=$(bazel --batch --nohome_rc --output_user_root="$sandbox/root" query \
  --keep_going @library//:all + @module//absent/base:all + @rules//:all + @rules_of_cc//:all 2>&1) && code=0 || code=$?

expect() { # MISSING PACKAGE
  if [[ $code == 0 || $output != *"$1 is missing. It comes with the Debian package $2. Install it with"*"sudo apt-get install $2"* ]]; then
    printf 'FAILED: nothing says that %s of %s is missing (code %s):\n%s\n' "$1" "$2" "$code" "$output" >&2
    exit 1
  fi
}
expect /usr/include/absent.h libabsent-dev
expect "pkg-config module absent_core" libabsent-dev
expect /usr/share/bazel/rules/absent bazel-rules-absent
echo "missing packages are named with the command that installs them"

#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Whether a program that depends on //manager and uses nothing else has all that
# the libraries define which modules may use.
#
# Arguments: the program, and the archives.
set -euo pipefail

program=$1
shift
work=$(mktemp -d "$TEST_TMPDIR/module_api.XXXXXX")

nm --dynamic --defined-only --format=posix "$program" | cut -d' ' -f1 | sort -u >"$work/program"
# What has a namespace-scope name with external linkage.
for archive in "$@"; do
  nm --defined-only --format=posix "$archive" 2>/dev/null
done | awk '$2 ~ /^[TDBR]$/ && $1 ~ /^_ZNK?6instar/ { print $1 }' | sort -u >"$work/libraries"

count=$(wc -l <"$work/libraries")
if ((count < 500)); then
  echo "only $count symbols were found in $# archives"
  exit 1
fi
missing=$(comm -13 "$work/program" "$work/libraries")
if [[ -n $missing ]]; then
  echo "The program lacks what modules may use:"
  c++filt <<<"$missing"
  exit 1
fi
echo "$count symbols of $# archives are in the program"

#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: finish_program_test.sh PROGRAM LINKED STRIPPED FINISHER
# What becomes of a program once it is linked: its function entries are whole,
# and nothing else is different.
set -euo pipefail

program=$1 linked=$2 stripped=$3 finisher=$4

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  exit 1
}

# Where in the two files bytes differ, and what they are.
differences() {
  cmp -l "$1" "$2" || true
}

build_id() {
  readelf --notes "$1" | sed -n 's/.*Build ID: //p'
}

# Each difference is a no-op: 90 90 90 90 90 has become 0f 1f 44 00 00, which
# cmp gives in octal.
changes=$TEST_TMPDIR/changes
differences "$linked" "$program" >"$changes"
[[ -s $changes ]] || fail "no entry was rewritten"
awk '
  BEGIN { split("17 37 104 0 0", whole) }
  { byte = (NR - 1) % 5 + 1 }
  $2 != 220 || $3 != whole[byte] || (byte > 1 && $1 != last + 1) { exit 1 }
  { last = $1 }
  END { if (NR % 5 != 0) exit 1 }
' "$changes" || fail "something else than no-ops differs"

[[ $(build_id "$linked") == "$(build_id "$program")" ]] ||
  fail "the build id differs"
[[ -n $(build_id "$program") ]] || fail "there is no build id"
[[ -x $program && -x $stripped ]] || fail "it cannot be executed"

# Stripped, it has the same code.
[[ $(stat -L -c %s "$stripped") -lt $(stat -L -c %s "$program") ]] ||
  fail "nothing was stripped"
[[ $(build_id "$stripped") == "$(build_id "$program")" ]] ||
  fail "the stripped build id differs"
for file in program stripped; do
  objcopy -O binary --only-section=.text "${!file}" "$TEST_TMPDIR/$file.text"
done
cmp "$TEST_TMPDIR/program.text" "$TEST_TMPDIR/stripped.text" ||
  fail "the stripped code differs"

# Finishing it again changes nothing, and neither does a program without entries
# change.
"$finisher" --program "$program" --output "$TEST_TMPDIR/again"
cmp "$program" "$TEST_TMPDIR/again" || fail "finishing it twice changes it"
"$finisher" --program /bin/true --output "$TEST_TMPDIR/true"
cmp /bin/true "$TEST_TMPDIR/true" || fail "a program without entries changed"

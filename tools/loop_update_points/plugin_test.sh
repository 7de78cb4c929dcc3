#!/usr/bin/env bash
# Which points the plugin puts into the loops of loops_for_test.cc, and that an exception out of an early one runs the
# destructors, with the compiler's optimizations and without.
set -euo pipefail

compiler=$1 plugin=$2 source=$3
program=$(mktemp)
trap 'rm -f "$program"' EXIT

run() { # MODE OPTIONS...
  "$compiler" -std=c++17 -Wall -fPIC "-fplugin=./$plugin" "-fplugin-arg-loop_update_points-mode=$1" "${@:2}" \
    "$source" -o "$program" -lstdc++
  "$program"
}

expect() { # WHAT, EXPECTED and SEEN
  if [[ $2 != "$3" ]]; then
    printf 'FAILED: %s\n' "$1" >&2
    diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") >&2 || true
    exit 1
  fi
}

late='endless: ~Endless left, some early, no inline, no late
endless below: ~EndlessBelow left, some early, no inline, no late
endless lambda: ~lambda left, some early, no inline, no late
do for ever: ~DoForEver left, some early, no inline, no late
over range: ~OverRange no early, no inline, some late
template: no early, no inline, some late
library: no early, no inline, no late
system header: no early, no inline, some late
counted: no early, no inline, some late
short: no early, no inline, no late
goto: no early, no inline, some late
without: no early, no inline, no late'
early='endless: ~Endless left, some early, no inline, no late
endless below: ~EndlessBelow left, some early, no inline, no late
endless lambda: ~lambda left, some early, no inline, no late
do for ever: ~DoForEver left, some early, no inline, no late
over range: ~OverRange left, some early, no inline, some late
template: no early, some inline, no late
library: no early, no inline, no late
system header: no early, no inline, some late
counted: no early, no inline, some late
short: no early, no inline, no late
goto: no early, no inline, some late
without: no early, no inline, no late'

for options in "-O2 -g -fno-ipa-icf" "-O3 -g -fno-ipa-icf" "-O2 -g -fno-ipa-icf -fpatchable-function-entry=5 -fno-ipa-pure-const -fno-ipa-modref"; do
  # shellcheck disable=SC2086
  expect "late, $options" "$late" "$(run late $options)"
  # shellcheck disable=SC2086
  expect "early, $options" "$early" "$(run early $options)"
done

# Nothing is taken out without optimizations.
for options in -O0 -O1 -Og; do
  seen=$(run early $options)
  expect "early, $options" "$(grep -v 'header\|counted\|short\|over' <<<"$early")" "$(grep -v 'header\|counted\|short\|over' <<<"$seen")"
  run late $options >/dev/null
done

# With the code of the sanitizers.
for options in "-O1 -fsanitize=thread" "-O1 -fsanitize=address" "-O1 -fsanitize=undefined"; do
  # shellcheck disable=SC2086
  run early $options >/dev/null
done

if output=$("$compiler" "-fplugin=./$plugin" -c "$source" -o /dev/null 2>&1); then
  printf 'FAILED: the plugin needs a mode, and does not say so\n' >&2
  exit 1
fi
[[ $output == *mode=early*mode=late* ]] || { printf 'FAILED: %s\n' "$output" >&2; exit 1; }
echo "points are where they should be"

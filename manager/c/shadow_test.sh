#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# shadow_test.sh PROGRAM MODULE INSTARCTL   an update in C keeps what it counts of a program's objects as shadow data.
set -euo pipefail

program=$1 module=$2 instarctl=$3
# shellcheck source=manager/c/program_for_test.sh
source manager/c/program_for_test.sh

echo o1 >&5
echo h1 >&5 && expect 'hit 1'
for _ in 1 2; do
  "$instarctl" -p sessions load "$module" || fail "load"
  echo h1 >&5 && expect '1 times, of 1 sessions: hit 1'
  echo h1 >&5 && expect '2 times, of 1 sessions: hit 1'
  # The next one lies where it lay, as a rule.
  echo c1 >&5 && expect 'forgotten: 2'
  echo o1 >&5
  echo h1 >&5 && expect '1 times, of 1 sessions: hit 1'
  echo o2 >&5
  echo h2 >&5 && expect '1 times, of 2 sessions: hit 2'
  "$instarctl" -p sessions undo || fail 'undo'
  expect 'forgotten: 1'
  expect 'forgotten: 1'
  echo h1 >&5 && expect 'hit 1'
  echo c2 >&5
done
# The module's variables are as they were when it was loaded: it is used again.
"$instarctl" -p sessions check "$module" >"$work/check" || fail 'check'
grep -q 'hits' "$work/check" || fail "it checked $(<"$work/check")"
! grep -q 'takes memory again' "$work/check" || fail "$(<"$work/check")"
exec 5>&-
wait "$process" || fail "it ended with $?"
process=

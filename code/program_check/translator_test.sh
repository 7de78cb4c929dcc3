#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: translator_test.sh PATCHING_PROBE_TEST
# Under a translator, which goes on with the code that it knows, the probe says
# that changes have no effect.
set -euo pipefail

if ! command -v valgrind >/dev/null; then
  printf 'SKIPPED: valgrind is not installed\n'
  exit 0
fi
output=$(valgrind -q --error-exitcode=0 "$1" \
  --gtest_filter='*LeavesNoTrace' 2>&1 || true)
if [[ $output != *'changes of code have no effect'* ]]; then
  printf '%s\nFAILED: the probe found nothing\n' "$output" >&2
  exit 1
fi

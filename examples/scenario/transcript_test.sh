#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# transcript_test.sh DEMO TRANSCRIPT: whether the demo says what the file has.
set -euo pipefail
said=$("$1" --transcript) || {
  printf '%s\n' "$said"
  exit 1
}
diff --unified "$2" - <<<"${said#$'\n'}"

#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# update_test.sh PROGRAM UPDATE UPDATE2 EXPECTED: what the program says before
# and after two updates, one on top of the other, when they are undone, and when
# the first is applied again.
set -euo pipefail
said=$("$1" <<EOF
show
load $2
show
load $3
show
undo
show
undo
show
load $2
show
EOF
)
diff "$4" - <<<"$said"
echo "update_test: PASS"

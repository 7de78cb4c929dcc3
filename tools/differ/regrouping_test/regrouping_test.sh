#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# regrouping_test.sh PROGRAM UPDATE EXPECTED: objects of before are read and
# written by the new code, which has their members in a structure of their own;
# and those of the new code by the old one, when it is undone.
set -euo pipefail
said=$("$1" <<EOF
add
write one
read
load $2
read
add
write three
write seven
read
undo
read
add
write ten
read
load $2
read
EOF
)
diff "$3" - <<<"$said"
echo "regrouping_test: PASS"

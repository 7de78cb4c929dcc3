#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# convert_test.sh PROGRAM UPDATE EXPECTED: objects that exist get members, as
# INSTAR_CONVERT says; those that cannot grow are in the way, of the update and
# of its undo.
set -euo pipefail
said=$("$1" <<EOF
add 1
add 2
show
bundle
load $2
show
unbundle
load $2
show
show
add 3
show
remove
bundle
undo
unbundle
undo
show
add 4
show
load $2
show
EOF
)
diff "$3" - <<<"$said"
echo "convert_test: PASS"

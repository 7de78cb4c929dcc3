#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# instar_test.sh PROGRAM MODULE INSTARCTL   a program in C is rebooted into a function in C that goes on counting, and back.
set -euo pipefail

program=$1 module=$2 instarctl=$3
# shellcheck source=manager/c/program_for_test.sh
source manager/c/program_for_test.sh

echo >&5 && expect '1 line'
echo >&5 && expect '2 lines'
"$instarctl" -p counting load "$module" || fail 'load'
expect 'changing'
echo >&5 && expect 'twice: 4'
"$instarctl" -p counting undo || fail 'undo'
expect 'changing'
echo >&5 && expect '5 lines'
exec 5>&-
wait "$process" || fail "it ended with $?"
process=

# A program whose main() has left by pthread_exit() ends with its last thread.
[[ $(echo | timeout 60 "$program" main_ends) == '1 line' ]] || fail "without main() it ended with $?"

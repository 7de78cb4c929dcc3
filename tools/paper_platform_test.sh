#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
# What tools/paper_platform says where there is no pypy3.
set -euo pipefail

python=$(python3 -c 'import sys; print(sys.executable)')
output=$(PATH=/nowhere "$python" "$1" 2>&1) && code=0 || code=$?
if [[ $code == 0 || $output != *"pypy3 is missing. Install it with: sudo apt-get install pypy3"* ]]; then
  printf 'FAILED: nothing says that pypy3 is missing (code %s):\n%s\n' "$code" "$output" >&2
  exit 1
fi
echo "pypy3 is named with the command that installs it"

#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: finish_update_module_test.sh CHECKER SECOND_COPY UNIQUE EXECUTABLE
#     REQUIRED REQUIRING PROGRAM...
# What the check of update modules must refuse, and how it says so.
set -euo pipefail

checker=$1 second_copy=$2 unique=$3 executable=$4 required=$5 requiring=$6
shift 6
program=("$@")
output=$TEST_TMPDIR/module.so
message=$TEST_TMPDIR/message

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  exit 1
}

# refused MODULE NAME PATTERN...: the check fails and its message has all of the
# patterns; nothing is written.
refused() {
  local module=$1 name=$2 pattern
  shift 2
  rm -f "$output"
  if "$checker" --module "$module" --label "//test:$name" \
    --soname "$name.0000000000000000.so" --output "$output" \
    --program "${program[@]}" 2>"$message"; then
    fail "$name was accepted"
  fi
  for pattern in "$@"; do
    grep -q -e "$pattern" "$message" ||
      fail "no \"$pattern\" in: $(cat "$message")"
  done
  [[ ! -e $output ]] || fail "$name was refused, but written"
}

refused "$second_copy" second_copy '//test:second_copy cannot be an update' \
  'second copy of code that the program has in .*libshop' \
  'shop::Discount(shop::Product const&)' 'out of srcs'
refused "$unique" unique 'STB_GNU_UNIQUE' 'Unique<int>::value' \
  '-fno-gnu-unique'
refused /nonexistent.so missing 'nonexistent.so cannot be read'

# Whatever a module uses must be in the program or in a module that it requires.
program+=(--executable "$executable")
refused "$requiring" stars 'the program scenario does not have what it uses' \
  'shop::' 'updatable_cc_library'
"$checker" --module "$requiring" --label //test:stars \
  --soname stars.0000000000000000.so --output "$output" \
  --program "${program[@]}" --requires "$required"
program=("${program[@]::${#program[@]}-2}")

# Against a program that has none of its code the same module is accepted, and
# is named after its contents.
"$checker" --module "$second_copy" --label //test:own \
  --soname second_copy.0000000000000000.so --output "$output"
[[ -x $output ]] || fail "the module was not written"
grep -q -a -E 'second_copy\.[0-9a-f]{16}\.so' "$output" || fail "no name"
if grep -q -a 'second_copy\.0000000000000000' "$output"; then
  fail "the name was left as it was"
fi

# No entry has to be rewritten when it is loaded.
disassembled() { objdump -d --no-show-raw-insn "$1"; }
one_byte_entries() {
  disassembled "$1" | grep -A2 -E '^[0-9a-f]+ <.*>:$' | grep -c -E ':\s+nop$'
}
[[ $(one_byte_entries "$second_copy") -gt 0 ]] || fail "no entries to rewrite"
[[ $(one_byte_entries "$output") == 0 ]] || fail "entries were not rewritten"
whole_entries=$(disassembled "$output" | grep -c 'nopl *0x0(%rax,%rax,1)$' || true)
((whole_entries > 0)) || fail "no entries"

program=()
refused "$second_copy" wrong_name 'DT_SONAME is not wrong_name'
echo PASSED

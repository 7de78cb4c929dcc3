# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Sourced, with $program set: starts it, to be asked by `echo >&5`, in a folder $work and with sockets of its own. It is
# ended with the script that sources this.

work=$(mktemp -d)
process=
finish() {
  [[ -z $process ]] || kill "$process" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
export INSTAR_SOCKET_DIRECTORY=$work/sockets

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  exit 1
}

mkfifo "$work/in" "$work/out"
"$program" <"$work/in" >"$work/out" &
process=$!
exec 5>"$work/in" 6<"$work/out"

expect() {
  local line
  read -r -t 60 line <&6 || fail "nothing was said, and '$1' was expected"
  [[ $line == "$1" ]] || fail "it said '$line', not '$1'"
}

#!/usr/bin/env bash
# tools/bazelw against a package database, an apt-get, a sudo and a bazel that only write down what they are asked.
set -euo pipefail

bazelw=$PWD/$1
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
mkdir -p "$sandbox"/{bin,tools,third_party}
cp "$bazelw" "$sandbox/tools/bazelw"
printf '# a comment\n\npresent\nabsent\n' >"$sandbox/third_party/debian_packages.txt"

log=$sandbox/log
fake() { # NAME BODY: a command that writes its call to the log
  printf '#!/bin/bash\necho "%s $*" >>"%s"\n%s\n' "$1" "$log" "$2" >"$sandbox/bin/$1"
  chmod +x "$sandbox/bin/$1"
}
# The commands of the system that bazelw may use, and no others.
for command in bash env printf rm; do ln -s "$(command -v "$command")" "$sandbox/bin/$command"; done
# shellcheck disable=SC2016  # expanded when the fake runs
fake dpkg-query '[[ "${@: -1}" == present ]] && printf installed'
fake apt-get 'exit 0'
fake bazel 'exit 7'

# bash sets EUID itself; in a copy of the script it is a variable that the test sets.
sed -i 's/EUID/FAKE_EUID/g' "$sandbox/tools/bazelw"

fail() {
  printf 'FAILED: %s\noutput:\n%s\ncalls:\n%s\n' "$1" "$output" "$(cat "$log")" >&2
  exit 1
}
run() { # USER ARGS...: bazelw as that user; sets output, code and an emptied log
  : >"$log"
  code=0
  output=$(FAKE_EUID=$1 PATH=$sandbox/bin "$sandbox/tools/bazelw" "${@:2}" 2>&1) || code=$?
}
calls() { grep -v '^dpkg-query' "$log"; }

run 1000 test //...
[[ $code == 1 && $output == *"neither root nor sudo"*"As root: apt-get install absent"* ]] || fail "without sudo"
[[ ! -e $sandbox/.bazelw-installed ]] || fail "a failure counts as done"

fake apt-get 'exit 100'
run 0 test //...
[[ $code == 1 && $output == *"By hand: apt-get install absent"* ]] || fail "apt-get fails"
[[ ! -e $sandbox/.bazelw-installed ]] || fail "a failure counts as done"

fake apt-get 'echo "frontend $DEBIAN_FRONTEND" >>"'"$log"'"'
fake sudo 'exec env -u DEBIAN_FRONTEND "$@"' # it drops the environment
run 1000 test //...
[[ $code == 7 && $(calls) == "sudo "*"apt-get update"*"frontend noninteractive"*"sudo "*"apt-get install"*" absent"*"frontend noninteractive"*"bazel test //..." ]] ||
  fail "with sudo"

run 1000 run //examples:site_manager -- --flag 'two words'
[[ $code == 7 && $(cat "$log") == "bazel run //examples:site_manager -- --flag two words" ]] || fail "the second call"

touch -d 'now + 1 minute' "$sandbox/third_party/debian_packages.txt"
run 0 version
[[ $(calls) == "apt-get update"*"apt-get install"*" absent"*"bazel version" ]] || fail "a new list of packages"

printf 'absent\nother | present\n old|new \n' >"$sandbox/third_party/debian_packages.txt"
touch -d 'now + 2 minutes' "$sandbox/third_party/debian_packages.txt"
fake apt-get '[[ $* != *--simulate*old ]]'  # this release does not have it
run 0 version
[[ $(calls) == *"apt-get install -y -qq --no-install-recommends absent new"*"bazel version" ]] || fail "alternatives"
fake apt-get '[[ $* != *--simulate* && $* != *install* ]]'
touch -d 'now + 3 minutes' "$sandbox/third_party/debian_packages.txt"
run 0 version
[[ $code == 1 && $output == *"By hand: apt-get install absent old"* ]] || fail "no alternative can be installed"

echo "bazelw installs what is missing, once, and says what it cannot do"

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Completion of instar-diff for bash.

_instar_diff() {
  local word=$2 previous=$3
  COMPREPLY=()
  case $previous in
    --new)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    --after | -o | --output)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -X '!*.so' -- "$word"; compgen -d -- "$word")
      return
      ;;
    --old | --program | --json)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --old-object | --new-object | --old-sources | --allow-type | --at-next-call | --wait-for | --exclude | --unchanged | --explain | --name) return ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "--program --old --new --after --old-object --new-object --old-sources \
      --allow-type --at-next-call --wait-for --exclude --unchanged --explain --output --name --json --quiet --help" -- "$word")
    return
  fi
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -X '!*.o' -- "$word"; compgen -d -- "$word")
}
complete -F _instar_diff instar-diff

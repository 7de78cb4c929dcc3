# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Completion of instar-release for bash.

_instar_release() {
  local word=$2 previous=$3
  COMPREPLY=()
  case $previous in
    --after)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -X '!*.so' -- "$word"; compgen -d -- "$word")
      return
      ;;
    --object | --exclude | --unchanged) return ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "--output --after --exclude --unchanged --object --quiet --help" -- "$word")
    return
  fi
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$word")
}
complete -F _instar_release instar-release

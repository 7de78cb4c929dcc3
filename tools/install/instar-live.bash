# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Completion of instar-live for bash.

_instar_live() {
  local word=$2 previous=$3 i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    if [[ ${COMP_WORDS[i]} == -- ]]; then
      # The command that builds.
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(((i + 1 == COMP_CWORD)) && compgen -c -- "$word"; compgen -f -- "$word")
      return
    fi
  done
  case $previous in
    --objects | --sources)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    --program)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --run | --pid | --allow-type | --at-next-call | --wait-for | --exclude | --unchanged) return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "--program --objects --sources --run --pid --allow-type --at-next-call --wait-for --exclude \
    --unchanged --help --" -- "$word")
}
complete -F _instar_live instar-live

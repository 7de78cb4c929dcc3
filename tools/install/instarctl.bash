# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Completion of instarctl for bash.

_instarctl() {
  local word=$2 previous=$3 command= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      -p | --program | --pid) ((++i)) ;;
      -*) ;;
      *)
        command=${COMP_WORDS[i]}
        break
        ;;
    esac
  done
  COMPREPLY=()
  case $previous in
    -p | --program)
      # The names of what runs, and of what is left a journal.
      mapfile -t COMPREPLY < <(compgen -W "$(instarctl ps 2>/dev/null | sed -n '1d;s/^ *\([^ ]\{1,\}\)  .*$/\1/p' |
        sort -u)" -- "$word")
      return
      ;;
    --pid | --timeout | --hold | --using | -n | --entries | --watch | --max-errors | --health)
      [[ $previous == --watch && $command == status ]] || return
      ;;
    -o | --output)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
  esac
  if [[ -z $command ]]; then
    mapfile -t COMPREPLY < <(compgen -W "ps check load status cancel undo unload enable disable list bundle log --program --pid --help" -- "$word")
    return
  fi
  local options="--program --pid --help"
  case $command in
    check) options+=" --without-stacks --all --using" ;;
    load) options+=" --timeout --watch --health --max-errors --all --using --json" ;;
    undo) options+=" --timeout --all --using --json" ;;
    unload) options+=" --hold --json" ;;
    ps) options+=" --json" ;;
    status) options+=" --json --watch" ;;
    log) options+=" --json --entries" ;;
    bundle) options+=" --output" ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
  elif [[ $command =~ ^(load|check|enable|bundle)$ ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -X '!*.@(so|bundle)' -- "$word"; compgen -d -- "$word")
  elif [[ $command == disable ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(instarctl list 2>/dev/null | sed -n 's/^  \([^ ]\{1,\}\)  build.*$/\1/p')" -- "$word")
  fi
}
complete -F _instarctl instarctl

#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Bare Debian systems in folders, for tools/test_on and tools/test_package_on, which source this file and define fail().

# bare_debian_release NAME: its code name.
bare_debian_release() {
  case $1 in
    12 | bookworm) printf bookworm ;;
    13 | trixie) printf trixie ;;
    *) return 1 ;;
  esac
}

# debian_mirror: where this machine's apt takes its packages ($INSTAR_DEBIAN_MIRROR says otherwise).
debian_mirror() {
  local mirror
  mirror=${INSTAR_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 !~ /security/ { print $1; exit }')}
  [[ -n $mirror ]] || fail "apt names no mirror; set INSTAR_DEBIAN_MIRROR"
  printf '%s' "$mirror"
}

# bare_debian_install RELEASE FOLDER: by debootstrap, once.
bare_debian_install() {
  local release=$1 folder=$2 mirror log configuration
  [[ ! -e $folder/installed ]] || return 0
  ((EUID == 0)) || fail "installing a release into a folder needs root: sudo $0 $release"
  command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
  mirror=$(debian_mirror) || exit

  printf '%s: installing %s into %s\n' "${0##*/}" "$release" "$folder" >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  log=$folder.log
  debootstrap --variant=minbase "$release" "$folder" "$mirror" >"$log" 2>&1 || fail "debootstrap failed; see $log"
  cp /etc/resolv.conf /etc/hosts "$folder/etc/" 2>/dev/null || true
  for configuration in /etc/apt/apt.conf.d/*; do  # proxies, keys and the like, but no hooks
    grep -qE 'Invoke|Pre-Install' "$configuration" || cp "$configuration" "$folder/etc/apt/apt.conf.d/"
  done
  : >"$folder/installed"
}

# bare_debian_run FOLDER SCRIPT ARGUMENTS...: runs the bash script there. Processes and mounts of this run end with it.
bare_debian_run() {
  ((EUID == 0)) || fail "entering a folder as a system needs root: sudo $0"
  unshare --mount --pid --fork --kill-child --propagation private /bin/bash -c '
    set -e
    folder=$1
    shift
    mount -t proc proc "$folder/proc"
    mount --rbind /dev "$folder/dev"
    exec chroot "$folder" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LANG=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive /bin/bash -c "$@"
  ' - "$1" "$2" - "${@:3}"
}

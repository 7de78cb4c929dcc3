#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Debian's cross compiler for arm64, a folder of arm64's libraries, and qemu to run what is built: for tools/test_on,
# which sources this file and bare_debian.sh, and defines fail().

# What docs/processors.md says works.
arm64_targets() {
  printf '%s ' //base:linkage_stub_test //base:exception_table_test //base/linux:elf_machine_test \
    //base/linux:system_threads_test //base/linux:translator_test //code/portable/... \
    //continuation:continulet_test //stack:interrupted_thread_test \
    //heap:class_version_test //heap:conversion_test //heap:conversion_step_test //heap:lazy_proxy_test \
    //heap:updatable_test //heap/shadow:shadow_test \
    //threads/update_point_test:update_on_a_stack_test //threads/update_point_test:update_request_test \
    //updates:reboot_thread_test //updates/mechanisms/activation_test:replace_activation_test \
    //updates/mechanisms/convert_test:convert_test //updates/mechanisms/redefine_test:redefine_test \
    //updates/thread_updates_test:thread_updates_test //manager/manager_test:early_start_test \
    //examples:tour_test
}

# What works under a kernel, besides: what qemu's user mode has not the system calls for, what is about signals and
# pages, and what takes long there.
arm64_kernel_targets() {
  printf '%s ' //base/linux:mapped_array_test //base/linux:mapped_file_test //base/linux:maps_test \
    //base/linux:stack_bounds_test //continuation:continulet_errors_test //continuation:stack_memory_test \
    //code:redefinable_test //manager/manager_test:manager_test \
    //threads/rendezvous_test:interrupted_rendezvous_test //threads/rendezvous_test:rendezvous_litmus_test \
    //threads/rendezvous_test:rendezvous_test //threads/rendezvous_test:refused_place_test
}

# arm64_packages LIST: the libraries of debian_packages.txt, each as this release calls it.
arm64_packages() {
  local line alternative
  while read -r line; do
    [[ $line == lib* || $line == nlohmann* ]] && [[ $line != *-tools ]] || continue
    for alternative in ${line//|/ }; do
      apt-cache show "$alternative" >/dev/null 2>&1 || continue
      printf '%s ' "$alternative"
      break
    done
  done <"$1"
}

# arm64_tools PACKAGE...: installs them into this machine, with sudo when not root.
arm64_tools() {
  local as_root=() package
  ((EUID == 0)) || as_root=(sudo)
  for package in "$@"; do
    dpkg-query --show "$package" >/dev/null 2>&1 && continue
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 ||
      fail "installing failed; by hand: apt-get install $*"
    break
  done
}

# arm64_apt FOLDER TOOL ARGUMENTS...: apt-get or apt-cache of a system for arm64 that has nothing installed and keeps its
# state in FOLDER. It asks where this machine's apt asks, or what FOLDER/sources.list says.
arm64_apt() {
  local folder=$1 tool=$2 options
  mkdir -p "$folder"/{lists/partial,cache/archives/partial,state}
  : >"$folder/state/status"
  options=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$folder/state"
    -o "Dir::State::status=$folder/state/status" -o "Dir::State::lists=$folder/lists"
    -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1)
  [[ ! -e $folder/sources.list ]] ||
    options+=(-o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null)
  "$tool" "${options[@]}" "${@:3}"
}

# arm64_install FOLDER LIST: installs the tools into this machine, and the libraries, with all that they need, into
# FOLDER/sysroot, once.
arm64_install() {
  local folder=$1 list=$2 package link
  [[ ! -e $folder/installed ]] || return 0
  arm64_tools g++-aarch64-linux-gnu qemu-user
  printf '%s: downloading libraries for arm64 into %s\n' "${0##*/}" "$folder" >&2
  rm -rf "$folder/apt" "$folder/sysroot"
  mkdir -p "$folder/sysroot"
  arm64_apt "$folder/apt" apt-get update -qq >&2 || fail "apt-get update for arm64 failed"
  # shellcheck disable=SC2046
  arm64_apt "$folder/apt" apt-get install -y -qq --no-install-recommends --download-only libc6-dev libstdc++6 \
    "libstdc++-$(aarch64-linux-gnu-gcc -dumpversion)-dev" $(arm64_packages "$list") >&2 ||
    fail "downloading libraries for arm64 failed"
  for package in "$folder"/apt/cache/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder/sysroot"
  done
  rm -rf "$folder/apt/cache"
  # Links that begin with / would lead to this machine's files.
  find "$folder/sysroot" -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$folder/sysroot$(readlink "$link")")" "$link"
  done
  : >"$folder/installed"
}

# arm64_kernel_install FOLDER PAGES: Debian 13's kernel for pages of 4k or 16k, as FOLDER/kernel/PAGES, and its busybox,
# once; and qemu for a whole system, into this machine.
arm64_kernel_install() {
  local folder=$1/kernel pages=$2 name=linux-image-arm64 mirror package
  [[ $pages == 4k ]] || name+=-$pages
  arm64_tools qemu-system-arm
  [[ ! -e $folder/$pages ]] || return 0
  printf '%s: downloading a kernel for arm64 into %s\n' "${0##*/}" "$folder" >&2
  mirror=$(debian_mirror) || exit
  mkdir -p "$folder/apt"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$folder/apt/sources.list"
  arm64_apt "$folder/apt" apt-get update -qq >&2 || fail "apt-get update for arm64 failed"
  # The package of that name is empty, and depends on one with the version in its name.
  package=$(arm64_apt "$folder/apt" apt-cache depends "$name" | awk '/Depends: linux-image/ { print $2 }')
  [[ -n $package ]] || fail "Debian 13 has no package $name"
  # Their dependencies are for installing a kernel: the files alone are wanted.
  rm -rf "$folder/files"
  mkdir -p "$folder/files"
  (cd "$folder/files" && arm64_apt "$folder/apt" apt-get download -qq "$package" busybox-static >&2 &&
    dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x --wildcards './boot/vmlinuz-*' &&
    dpkg-deb --extract busybox-static*.deb .) || fail "downloading $package failed"
  mv "$folder/files/usr/bin/busybox" "$folder/busybox" || fail "busybox-static has no /usr/bin/busybox"
  mv "$folder"/files/boot/vmlinuz-* "$folder/$pages"
  rm -rf "$folder/files"
}

# arm64_kernel_run FOLDER PAGES COMMAND ARGUMENTS...: the bazel command, whose tests each run under a kernel of its own.
arm64_kernel_run() {
  local folder=$1 pages=$2 code=0
  INSTAR_ARM64_SYSROOT=$folder/sysroot tools/bazelw "$3" --config=arm64 --local_test_jobs=1 \
    --run_under="$PWD/tools/arm64_kernel/boot.py --kernel $folder/kernel/$pages --busybox $folder/kernel/busybox --sysroot \
$folder/sysroot" "${@:4}" || code=$?
  bazel shutdown >/dev/null 2>&1 || true
  return $code
}

# arm64_run FOLDER COMMAND...: where programs for arm64 are run by qemu, with the libraries of FOLDER. Nobody else on
# this machine sees that: a namespace of its own has its own list of who runs what (Linux 6.7). On older kernels the
# machine's list has to have qemu-aarch64 (package qemu-user-binfmt).
#
# QEMU_RESERVED_VA: the address space of a program. qemu keeps a record of each page that is mapped, also of those that
# are only reserved, and goes through all of them whenever a program reads its /proc/self/maps: with the terabyte that
# updatable objects reserve (heap/internal/slab.cc) that takes a minute. Of less, they reserve less.
arm64_run() {
  local folder=$1
  shift
  INSTAR_ARM64_SYSROOT=$folder/sysroot QEMU_LD_PREFIX=$folder/sysroot QEMU_RESERVED_VA=0x400000000 \
    unshare --user --map-root-user --mount --pid --fork --kill-child --propagation private /bin/bash -c '
    set -e
    list=/proc/sys/fs/binfmt_misc
    mount -t proc proc /proc
    if mount -t binfmt_misc binfmt_misc "$list" 2>/dev/null; then
      qemu=$(command -v qemu-aarch64)
      zero="\x00"
      magic="\x7fELF\x02\x01\x01$zero$zero$zero$zero$zero$zero$zero$zero$zero\x02$zero\xb7$zero"
      mask="\xff\xff\xff\xff\xff\xff\xff$zero\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
      printf "%s" ":qemu-aarch64:M::$magic:$mask:$qemu:OCF" >"$list/register"
    elif [[ ! -e $list/qemu-aarch64 ]]; then
      echo "test_on: programs for arm64 cannot be run: apt-get install qemu-user-binfmt" >&2
      exit 1
    fi
    "$@" && code=0 || code=$?
    bazel shutdown >/dev/null 2>&1 || true
    exit $code
  ' - "$@"
}

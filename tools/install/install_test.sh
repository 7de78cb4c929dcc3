#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# install_test.sh HOW INSTALL ARGS...   installs into a temporary folder, has a program and its updates built there, and
# updates the program while it runs: by updates that were written, and by one that instar-diff makes of an edited source.
# ARGS are those of the installation.
#
# HOW: make, cmake, meson: a program in C, an update in C and one in C++, by that build system
#      make-in-c, cmake-in-c: without the update in C++, and what only that needs; with make, $MODULE_CC compiles the update
#      built-in-c FOLDER: those that are in the folder already
# INSTALL "-": with what is installed in the system; INSTAR_KEEP_SHOP=FOLDER keeps what was built.
set -euo pipefail

system=$1 install=$2
shift 2
work=$(mktemp -d)
started=()
finish() {
  for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  exit 1
}

if [[ $install != - ]]; then
  "$install" "$@" --prefix "$work/prefix" >/dev/null 2>"$work/install.log" || fail "the installation: $(cat "$work/install.log")"
  export PATH=$work/prefix/bin:$PATH PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig CMAKE_PREFIX_PATH=$work/prefix \
    C_INCLUDE_PATH=$work/prefix/include
fi
export INSTAR_SOCKET_DIRECTORY=$work/sockets LC_ALL=C

mkdir "$work/shop"
cd "$work/shop"
cat >price.h <<'END'
#ifndef PRICE_H_
#define PRICE_H_
#ifdef __cplusplus
extern "C" {
#endif
int Price(int count);
#ifdef __cplusplus
}
#endif
#endif
END
cat >price.c <<'END'
#include "price.h"
static int Each(void) { return 100; }
int Price(int count) { return count * Each(); }
END
cat >main.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include "price.h"
int main(void) {
  char line[100];
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%d\n", Price(atoi(line)));
    fflush(stdout);
  }
  return 0;
}
END
cat >discount.c <<'END'
#include <instar.h>
#include "price.h"
static int Price2(int count) { return count * 90; }
static const char* Discount(instar_plan* plan) {
  instar_plan_redefine(plan, INSTAR_CODE(Price), INSTAR_CODE(Price2));
  return NULL;
}
INSTAR_UPDATE_MODULE("discount", Discount);
END
cat >bulk.cc <<'END'
#include <instar/updates/update_module.h>
#include <instar/updates/update_plan.h>
#include "price.h"
namespace {
int Price3(int count) { return count < 10 ? count * 90 : count * 50; }
absl::Status Bulk(instar::UpdatePlan& plan) {
  plan.Redefine(&Price, &Price3);
  return absl::OkStatus();
}
}  // namespace
INSTAR_UPDATE_MODULE("bulk", Bulk);
END

build_with_make() {
  cat >Makefile <<'END'
CFLAGS = -O2 -Wall
all: shop discount.so bulk.so
shop: main.o price.o
	$(CC) -o $@ $^ $(shell pkg-config --libs instar-agent)
%.so: %.c shop
	instar-module -o $@ --program shop $< -- -I. -O2
%.so: %.cc shop
	instar-module -o $@ --program shop $< -- -I. -O2
bulk.so: discount.so
bulk.so: bulk.cc shop
	instar-module -o $@ --program shop --requires discount.so $< -- -I. -O2
END
  make CC=instar-cc || return
  instar-release shop -o shop.release || return
  built=.
}

# diff_with_HOW FILE: builds the edited program, and FILE of what has changed since ../shop.old, or the release there.
diff_with_make() {
  (($# > 1)) || set -- "$1" --old ../shop.old/shop.release
  make shop CC=instar-cc || return
  instar-diff "${@:2}" --new . -o "$1"
}

# Without pkg-config, which a bare system has not: the library is where the linker looks.
build_with_make-in-c() {
  cat >Makefile <<'END'
CFLAGS = -O2 -Wall
all: shop discount.so
shop: main.o price.o
	$(CC) -o $@ $^ -Wl,--no-as-needed -linstar_agent
%.so: %.c shop
	INSTAR_CC=$${MODULE_CC:-$${INSTAR_CC:-cc}} instar-module -o $@ --program shop $< -- -I. -O2
END
  LIBRARY_PATH=$work/prefix/lib LD_RUN_PATH=$work/prefix/lib make CC=instar-cc || return
  built=.
}

diff_with_make-in-c() {
  LIBRARY_PATH=$work/prefix/lib LD_RUN_PATH=$work/prefix/lib diff_with_make "$1" --program ../shop.old/shop --old ../shop.old
}

build_with_cmake-in-c() {
  cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.18)
project(shop C)
find_package(Instar 0.1 REQUIRED)
add_executable(shop main.c price.c)
target_link_libraries(shop PRIVATE Instar::agent)
instar_updatable(shop)
instar_update_module(discount PROGRAM shop SOURCES discount.c OPTIONS -O2)
if(OLD)
  instar_diff_module(rounded PROGRAM ${OLD}/shop OLD ${OLD} NEW shop)
endif()
END
  cmake -S . -B build -DCMAKE_BUILD_TYPE=Release || return
  cmake --build build || return
  built=build
}

diff_with_cmake-in-c() {
  cmake -S . -B build -DOLD="$PWD/../shop.old/build${2:+/$2}" || return
  cmake --build build --target rounded || return
  cp build/rounded.so "$1"
}

diff_with_cmake() {
  diff_with_cmake-in-c "$1" kept.release
}

build_with_built-in-c() {
  built=$1
}

build_with_cmake() {
  cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.18)
project(shop C CXX)
find_package(Instar 0.1 REQUIRED)
add_executable(shop main.c price.c)
target_link_libraries(shop PRIVATE Instar::agent)
instar_updatable(shop INLINE)
instar_update_module(discount PROGRAM shop SOURCES discount.c OPTIONS -O2)
instar_update_module(bulk PROGRAM shop SOURCES bulk.cc REQUIRES discount)
instar_release(kept PROGRAM shop)
if(OLD)
  instar_diff_module(rounded OLD ${OLD} NEW shop)
endif()
END
  cmake -S . -B build -DCMAKE_BUILD_TYPE=Release || return
  cmake --build build || return
  cmake --build build --target kept || return
  grep -q -- '-fsemantic-interposition .*-fno-semantic-interposition' build/CMakeFiles/shop.dir/flags.make || return
  built=build
}

build_with_meson() {
  cat >meson.build <<'END'
project('shop', 'c')
shop = executable('shop', 'main.c', 'price.c', dependencies : dependency('instar-agent'))
instar_module = find_program('instar-module')
discount = custom_target('discount', input : 'discount.c', output : 'discount.so', depends : shop,
  build_by_default : true, command : [instar_module, '-o', '@OUTPUT@', '--program', shop, '@INPUT@',
  '--', '-I' + meson.current_source_dir()])
custom_target('bulk', input : 'bulk.cc', output : 'bulk.so', depends : [shop, discount], build_by_default : true,
  command : [instar_module, '-o', '@OUTPUT@', '--program', shop, '--requires', discount, '@INPUT@',
  '--', '-I' + meson.current_source_dir()])
END
  CC=instar-cc meson setup build || return
  meson compile -C build || return
  built=build
}

diff_with_meson() {
  meson compile -C build shop || return
  instar-diff --program ../shop.old/build/shop --old ../shop.old/build --new build -o "$1"
}

"build_with_$system" "$@" >"$work/build.log" 2>&1 || fail "$system: $(cat "$work/build.log")"

# answer COUNT PRICE: what the program says now.
answer() {
  local price
  printf '%s\n' "$1" >&5
  read -r -t 60 price <&6 || fail "no answer"
  [[ $price == "$2" ]] || fail "$1 cost $price, not $2"
}

mkfifo in out
"$built/shop" <in >out 2>err &
started+=($!)
exec 5>in 6<out
answer 20 2000
instarctl -p shop load "$built/discount.so" || fail "discount"
answer 20 1800
if [[ $system != *-in-c ]]; then
  instarctl -p shop load "$built/bulk.so" || fail "bulk"
  answer 20 1000
  instarctl -p shop undo bulk || fail "undo of bulk"
  answer 20 1800
fi
instarctl -p shop undo || fail "undo of discount"
answer 20 2000
# As it is before it is built anew.
[[ -z ${INSTAR_KEEP_SHOP:-} ]] || cp -a "$built" "$INSTAR_KEEP_SHOP"
# What was built on another release has objects of another compiler.
if [[ $system != built-in-c ]]; then
  cp -a . ../shop.old
  cat >price.c <<'END'
#include <instar_hooks.h>
#include <stddef.h>
#include "price.h"
static int rebate;
static int Each(void) { return 100; }
int Price(int count) { return count * Each() - rebate; }
const char* instar_generated_after(void) {
  rebate = 7;
  return NULL;
}
const char* instar_generated_undo_after(void) { return NULL; }
END
  "diff_with_$system" rounded.so >"$work/build.log" 2>&1 || fail "$system, the next build: $(cat "$work/build.log")"
  instarctl -p shop load rounded.so || fail "rounded"
  answer 20 1993
  instarctl -p shop undo rounded || fail "undo of rounded"
  answer 20 2000
fi
exec 5>&-
wait "${started[0]}" || fail "the program ended with $?"
[[ ! -s err ]] || fail "the program said: $(cat err)"
[[ -z $(find "$work/sockets" -name '*.sock') ]] || fail "a socket was left"
if [[ $system == make ]]; then
  # What is inlined only because that is asked for is redefined by what instar-diff makes of two builds.
  mkdir -p inlined/old inlined/new
  sed 's/^static int Each/int Each(void);\nint Each/' ../shop.old/price.c >inlined/price.c
  for build in old new; do
    instar-cc -fno-semantic-interposition -O2 -I. -c main.c -o "inlined/$build/main.o" &&
      instar-cc -fno-semantic-interposition -O2 -I. -c inlined/price.c -o "inlined/$build/price.o" || fail "compiling $build"
    sed -i 's/return 100/return 95/' inlined/price.c
  done
  instar-cc -o inlined/shop inlined/old/main.o inlined/old/price.o $(pkg-config --libs instar-agent) || fail "linking"
  said=$(instar-diff --program inlined/shop --old inlined/old --new inlined/new -o inlined/each.so) || fail "comparing: $said"
  [[ $said == *Each* && $said == *Price* ]] || fail "what was inlined is not redefined: $said"
  # A destructor that two files have, compiled in two ways, behind another function: the linker discards one of them.
  cat >lock.h <<'END'
#include <cstdio>
struct Lock {
  virtual ~Lock() { std::puts("unlocked"); }
  virtual int Count() { return 1; }
};
struct Other : Lock {
  ~Other() override { std::puts("other"); }
};
END
  cat >first.cc <<'END'
__attribute__((noinline)) int First(int i) { return i * 3; }
#include "lock.h"
Lock* Make() { return First(1) == 3 ? new Other : nullptr; }
END
  cat >second.cc <<'END'
#include "lock.h"
Lock* Make();
Lock* MakeOther() {
  Lock lock;
  lock.Count();
  return new Lock;
}
int main() {
  delete Make();
  delete MakeOther();
}
END
  instar-c++ -O2 -c second.cc && instar-c++ -O0 -c first.cc || fail "compiling in two ways"
  for linker in '' -fuse-ld=bfd -fuse-ld=gold -fuse-ld=lld; do
    [[ -z $linker ]] || command -v "ld.${linker#*=}" >/dev/null || continue
    instar-c++ $linker second.o first.o -o locks && ./locks >/dev/null || fail "discarded duplicates, $linker"
  done
  # The same by flags of pkg-config, for builds that instar-cc has no part in.
  for package in instar-agent instar-c instar; do
    flags=$(pkg-config --variable=compile_flags "$package") && "${INSTAR_CXX:-c++}" -O2 -c second.cc $flags &&
      "${INSTAR_CXX:-c++}" -O0 -c first.cc $flags || fail "compiling with the flags of $package"
    for linker in '' -fuse-ld=bfd -fuse-ld=gold -fuse-ld=lld; do
      [[ -z $linker ]] || command -v "ld.${linker#*=}" >/dev/null || continue
      list=$(pkg-config --variable=entry_list "$package")
      [[ $linker != -fuse-ld=gold ]] || list=
      "${INSTAR_CXX:-c++}" $linker second.o first.o -o locks $(pkg-config --variable=link_flags "$package") $list &&
        instar-finish locks && ./locks >/dev/null || fail "discarded duplicates, by the flags of $package, $linker"
      # The bfd of Debian 13 needs none.
      [[ $linker == -fuse-ld=lld || $(ld.bfd --version) == *" 2.40"* && $linker == -fuse-ld=bfd ]] || continue
      "${INSTAR_CXX:-c++}" $linker second.o first.o -o locks $(pkg-config --variable=link_flags "$package") 2>/dev/null &&
        fail "$linker needs no list any more"
    done
  done
fi
# A compiler that is not there, and one that is not GCC.
printf '#!/bin/sh\nexit 3\n' >other
chmod +x other
said=$(INSTAR_CC=$PWD/nowhere instar-cc -c price.c 2>&1) && fail "a missing compiler compiled"
[[ $said == *"the compiler $PWD/nowhere is missing"*INSTAR_CC* ]] || fail "of a missing compiler: $said"
said=$(INSTAR_CC=$PWD/other instar-cc -c price.c 2>&1) && fail "another compiler compiled"
[[ $said == *"$PWD/other is not GCC 12 or later"*INSTAR_CC* ]] || fail "of another compiler: $said"

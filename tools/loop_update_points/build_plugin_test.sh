#!/usr/bin/env bash
# What a build with loop_update_points says where the plugin cannot be built.
set -euo pipefail

build_plugin=$PWD/$1
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
cd "$sandbox"

# A compiler of this name and version, whose plugin headers are not there.
compiler() { # MACRO VERSION
  cat >compiler <<COMPILER
#!/usr/bin/env bash
case \$* in
  *-dM*) echo "#define $1 1" ;;
  *-print-file-name=plugin) echo plugin ;;
  *-dumpversion) echo $2 ;;
  *) exit 1 ;;
esac
COMPILER
  chmod +x compiler
}

expect() { # TEXT
  local output code=0
  output=$("$build_plugin" ./compiler plugin.so plugin.h plugin.cc 2>&1) || code=$?
  if [[ $code == 0 || $output != *"$1"* || -e plugin.so ]]; then
    printf 'FAILED: nothing says "%s" (code %s):\n%s\n' "$1" "$code" "$output" >&2
    exit 1
  fi
}

compiler __GNUC__ 12
expect "gcc-plugin.h of GCC 12 is missing. It comes with the Debian package gcc-12-plugin-dev"
expect "sudo apt-get install gcc-12-plugin-dev"
compiler __GNUC__ 14.2.0
expect "sudo apt-get install gcc-14-plugin-dev"
compiler __clang__ 14.0.6
expect "update points in loops need GCC"
echo "what is missing is named, with the remedy"

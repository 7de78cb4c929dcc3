#!/usr/bin/env bash
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: consumer_test.sh WORKSPACE_FILE CASE
# Builds another workspace, in a temporary folder, that uses this one:
#   continulet  a program that depends on //continuation:continulet alone
#   program     a program that can be updated and its update, by the rules; the
#               update is applied to the running program and taken back
#   arguments   a program that is given arguments and data by its rule, as they
#               are of a cc_binary, and env, which is refused
# WORKSPACE and .bazelrc are those of the README, and builds are silent.
# It runs a Bazel of its own, with an output folder of its own.
set -euo pipefail

instar=$(dirname "$(readlink -f "$1")")
case=$2
consumer=$(mktemp -d)
finish() {
  chmod -R u+w "$consumer"
  rm -rf "$consumer"
}
trap finish EXIT

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  exit 1
}

# The block of code in the README, in this language, that has this text in it.
readme_block() { # LANGUAGE TEXT
  awk -v begin="\`\`\`$1" -v text="$2" '
    $0 == begin { inside = 1; block = ""; next }
    $0 == "```" && inside { if (index(block, text)) { printf "%s", block; found = 1; exit } inside = 0; next }
    inside { block = block $0 "\n" }
    END { exit !found }' "$instar/README.md" || fail "README.md has no block with $2"
}

# What the README says of a workspace of one's own, word by word.
readme_block python 'local_repository(' | sed "s|path = \"\.\.\.\"|path = \"$instar\"|" >"$consumer/WORKSPACE"
grep -q "$instar" "$consumer/WORKSPACE" || fail "README.md has no path to fill in: $(<"$consumer/WORKSPACE")"
readme_block sh 'build --force_pic' >"$consumer/.bazelrc"

write_continulet() {
  cat >"$consumer/BUILD" <<'END'
load("@rules_cc//cc:defs.bzl", "cc_binary")

cc_binary(
    name = "numbers",
    srcs = ["numbers.cc"],
    deps = ["@instar//continuation:continulet"],
)
END
  cat >"$consumer/numbers.cc" <<'END'
#include <cstdio>

#include "continuation/continulet.h"

int main() {
  instar::Continulet<int(int)> sum("sum", [](auto& self, int number) {
    int total = 0;
    while (true) number = self.Switch(total += number);
    return total;
  });
  sum.Switch(1);
  sum.Switch(2);
  std::printf("%d\n", sum.Switch(3));
}
END
}

write_arguments() { # ENV
  cat >"$consumer/BUILD" <<END
load("@instar//tools:defs.bzl", "updatable_cc_binary")

updatable_cc_binary(
    name = "shop",
    srcs = ["main.cc"],
    args = [
        "--data",
        "\$(location :prices.txt)",
    ],
    data = ["prices.txt"],
    $1
)
END
  echo 'seven' >"$consumer/prices.txt"
  cat >"$consumer/main.cc" <<'END'
#include <cstdio>

int main(int argc, char** argv) {
  char text[32] = "";
  std::FILE* const data = argc == 3 ? std::fopen(argv[2], "r") : nullptr;
  if (data == nullptr || std::fscanf(data, "%31s", text) != 1) return 1;
  std::printf("%s %s\n", argv[1], text);
}
END
}

write_program() {
  cat >"$consumer/BUILD" <<'END'
load("@instar//tools:defs.bzl", "updatable_cc_binary", "updatable_cc_library", "update_module")

updatable_cc_library(
    name = "shop_lib",
    srcs = ["shop.cc"],
    hdrs = ["shop.h"],
    deps = ["@instar//heap:updatable"],
)

updatable_cc_binary(
    name = "shop",
    srcs = ["main.cc"],
    deps = [
        ":shop_lib",
        "@instar//manager",
        "@instar//threads:blocking_region",
        "@instar//threads:controlled_thread",
        "@instar//threads:update_point",
    ],
)

update_module(
    name = "discount",
    srcs = ["discount.cc"],
    program = ":shop",
    deps = [
        ":shop_lib",
        "@com_google_absl//absl/status",
        "@instar//heap:class_version",
        "@instar//updates:update_module",
        "@instar//updates:update_plan",
    ],
)
END
  cat >"$consumer/shop.h" <<'END'
#pragma once
#include "heap/updatable.h"

struct Article : instar::Updatable<Article> {
  int price = 100;
};
int Price(const Article& article);
END
  cat >"$consumer/shop.cc" <<'END'
#include "shop.h"

int Price(const Article& article) { return article.price; }
END
  cat >"$consumer/main.cc" <<'END'
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "manager/manager.h"
#include "shop.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"

// A price for each byte that is read.
void Serve() {
  const auto article = std::make_unique<Article>();
  char byte;
  while (instar::Blocking([&] { return read(STDIN_FILENO, &byte, 1); }) == 1) {
    instar::UpdatePoint();
    std::printf("%d\n", Price(*article));
    std::fflush(stdout);
  }
}

int main() {
  auto manager = instar::Manager::Start();
  if (!manager.ok()) return 1;
  instar::ControlledThread shop = instar::StartPassiveThread("shop", Serve);
  manager->Register({&shop});
}
END
  cat >"$consumer/discount.cc" <<'END'
#include "absl/status/status.h"
#include "heap/class_version.h"
#include "shop.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace {

struct ArticleV2 : Article {
  explicit ArticleV2(Article&& old) noexcept : Article(std::move(old)) {}
  int discount = 20;
};

int NewPrice(const Article& article) {
  return article.price -
         instar::version_cast<const ArticleV2>(&article)->discount;
}

absl::Status Discount(instar::UpdatePlan& plan) {
  plan.ConvertEagerly<Article, ArticleV2>();
  plan.Redefine(&Price, &NewPrice);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("discount", Discount);

}  // namespace
END
}

bazel_build() {
  bazel --batch --nohome_rc --output_user_root="$consumer/root" build \
    --noshow_progress --symlink_prefix="$consumer/bazel-" "$@" \
    >"$consumer/log" 2>&1 ||
    fail "bazel build $*: $(tail -50 "$consumer/log")"
  # A build that succeeds says nothing but what Bazel says of every build.
  local said
  said=$(grep -vE '^(INFO: |Target |  [^ ]*bazel-|OpenJDK [^ ]+ Server VM warning: |\$TEST_TMPDIR defined: |$)' \
    "$consumer/log") || return 0
  fail "bazel build $* says: $(head -50 <<<"$said")"
}

cd "$consumer"
case $case in
continulet)
  write_continulet
  bazel_build //:numbers
  [[ $(bazel-bin/numbers) == 6 ]] || fail "numbers: $(bazel-bin/numbers)"
  ;;
arguments)
  write_arguments ''
  # `bazel run` gives it its arguments.
  said=$(bazel --batch --nohome_rc --output_user_root="$consumer/root" run \
    --symlink_prefix="$consumer/bazel-" //:shop 2>"$consumer/log") ||
    fail "bazel run //:shop: $(tail -50 "$consumer/log")"
  [[ $said == "--data seven" ]] || fail "shop says: $said"
  bazel_build //:shop.stripped
  said=$(bazel-bin/shop.stripped --data prices.txt)
  [[ $said == "--data seven" ]] || fail "shop.stripped says: $said"
  write_arguments 'env = {"A": "b"},'
  if bazel --batch --nohome_rc --output_user_root="$consumer/root" build \
    //:shop >"$consumer/log" 2>&1; then
    fail "env was accepted"
  fi
  grep -q 'updatable_cc_binary does not take env' "$consumer/log" ||
    fail "env: $(tail -50 "$consumer/log")"
  ;;
program)
  write_program
  bazel_build //:shop //:discount @instar//tools:instarctl
  export INSTAR_SOCKET_DIRECTORY=$consumer/sockets
  coproc SHOP { exec bazel-bin/shop; }
  price() { # EXPECTED
    echo -n x >&"${SHOP[1]}"
    read -r answer <&"${SHOP[0]}"
    [[ $answer == "$1" ]] || fail "the price is $answer, not $1"
  }
  price 100
  # As `bazel run` starts it.
  bazel-bin/discount_load --timeout 60 || fail "the update is not applied"
  price 80
  bazel-bin/external/instar/tools/instarctl/instarctl undo || fail "it is not undone"
  price 100
  exec {SHOP[1]}>&-
  wait "$SHOP_PID"
  ;;
*) fail "no such case: $case" ;;
esac
echo "PASSED: $case"

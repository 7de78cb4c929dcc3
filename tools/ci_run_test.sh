#!/usr/bin/env bash
# The last line of .ci/run, from records of builds as Bazel writes them: it is what people and machines go by.
set -euo pipefail

sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
mkdir -p "$sandbox/.ci" "$sandbox/tools"
cp "$1" "$sandbox/.ci/run"

# Stands in for tools/bazelw: writes the record $sandbox/events where it is told to and ends with $sandbox/code.
cat >"$sandbox/tools/bazelw" <<'BAZELW'
#!/usr/bin/env bash
for argument; do
  [[ $argument == --build_event_json_file=* ]] && [[ -e events ]] && cp events "${argument#*=}"
done
exit "$(cat code)"
BAZELW
chmod +x "$sandbox/tools/bazelw"

configured() { printf '{"id":{"targetConfigured":{"label":"%s"}},"configured":{"targetKind":"rule"%s}}\n' "$1" "${2-}"; }
a_test() { configured "$1" ',"testSize":"SMALL"'; }
summary() { printf '{"id":{"testSummary":{"label":"%s"}},"testSummary":{"overallStatus":"%s"}}\n' "$1" "$2"; }

expect() { # WHAT CODE LINE: .ci/run ends with this line, and fails unless it says "0 failed"
  local output code=0
  echo "$2" >"$sandbox/code"
  output=$("$sandbox/.ci/run") || code=$?
  if [[ ${output##*$'\n'} != "$3" || $((code != 0)) != $([[ $3 == *" 0 failed" ]]; echo $?) ]]; then
    printf 'FAILED: %s: expected "%s", got code %s and\n%s\n' "$1" "$3" "$code" "$output" >&2
    exit 1
  fi
}

expect "bazel did not even begin" 1 "0 passed, 1 failed"

{ configured //a:library; a_test //a:one; a_test //a:two; summary //a:one PASSED; summary //a:two PASSED; } >"$sandbox/events"
expect "everything passes" 0 "2 passed, 0 failed"
expect "something that is no test does not build" 1 "2 passed, 1 failed"

{ a_test //a:one; a_test //a:two; summary //a:one PASSED; summary //a:two FAILED; } >"$sandbox/events"
expect "a test fails" 3 "1 passed, 1 failed"

{ a_test //a:one; a_test //a:two; summary //a:one PASSED; } >"$sandbox/events"
expect "a test does not build" 1 "1 passed, 1 failed"

{ a_test //a:one; summary //a:one FLAKY; a_test //a:two; summary //a:two TIMEOUT; } >"$sandbox/events"
expect "a test passes sometimes, another never ends" 3 "0 passed, 2 failed"

echo ".ci/run counts what Bazel recorded"

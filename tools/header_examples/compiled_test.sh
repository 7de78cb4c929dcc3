#!/usr/bin/env bash
# Whether there is an archive of the compiled examples: all else was tested when it was made.
set -euo pipefail
for archive in "$@"; do
  [[ -s $archive ]] || {
    echo "$archive is not there" >&2
    exit 1
  }
done
(($# > 0))

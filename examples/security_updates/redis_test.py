#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Three of redis' security patches, as examples/security_updates/evaluate applies them.

    redis_test.py EVALUATE DIFFER --version-of=VERSION --soname=NAME

//tools:install and what it installs are beside it.

Fetches and builds redis: some minutes. Each patch has to be accepted, loaded, undone and loaded again while redis serves,
without an answer that is lost or wrong, and where its fault can be seen that has to go, come back, and go again.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

PATCHES = {
    "0001-Apply-security-fixes-for-CVEs-1113.patch": True,
    "0001-Fix-LUA-garbage-collector-CVE-2024-46981-1513.patch": False,
    "0002-Fix-Read-Write-key-pattern-selector-CVE-2024-51741-1.patch": True,
}


def main():
    evaluate, differ, *arguments = sys.argv[1:]
    evaluate, differ = os.path.abspath(evaluate), os.path.abspath(differ)
    files = [os.path.join(folder, file) for folder, _, files in os.walk(os.path.abspath("tools")) for file in files]
    install = [next(file for file in files if file.endswith("/install.py")), *arguments, *[f"--input={file}" for file in files]]
    with tempfile.TemporaryDirectory(prefix="instar-redis-") as work:
        prefix = os.path.join(work, "instar")
        subprocess.run(install + ["--prefix", prefix], check=True)
        results = os.path.join(work, "results")
        code = subprocess.run([evaluate, "--work", work, "--instar", prefix, "--differ", differ, "--results", results, "redis"] +
                              [f"--patch=^{re.escape(patch)}$" for patch in PATCHES], check=False).returncode
        recorded = os.path.join(results, "redis.json")
        if not os.path.exists(recorded):
            print(f"evaluate ended with code {code} and has recorded nothing: what it said is above")
            return 1
        with open(recorded, encoding="utf-8") as file:
            seen = json.load(file)["patches"]
    wrong = [f"exit code {code}"] if code else []
    for patch, has_effect in PATCHES.items():
        loading = seen.get(patch, {}).get("loading", {})
        if not loading.get("ok") or has_effect != ("effect" in loading):
            wrong.append(f"{patch}: {json.dumps(seen.get(patch))}")
    print("\n".join(wrong or [f"{len(PATCHES)} patches are as they should be"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

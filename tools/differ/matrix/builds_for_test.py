# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder are given, INSTAR_DIFF FLAGS_SH LIBHARNESS.SO, and how they run commands."""

import os
import subprocess
import sys

DIFFER, FLAGS, HARNESS = (os.path.abspath(path) for path in sys.argv[1:4])


def run(command, **arguments):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **arguments)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {result.returncode}:\n{result.stdout}")
    return result.stdout


def flags_of(name):
    return run(["bash", "-c", f'. {FLAGS}; printf "%s\\n" "${{{name}[@]}}"']).splitlines()

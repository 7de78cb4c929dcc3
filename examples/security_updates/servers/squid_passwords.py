# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""squid's helper for digest authentication: knows the user `check`."""

import hashlib
import re
import sys

for line in sys.stdin:
    asked = re.fullmatch(r'"(.*)":"(.*)"\n', line)
    if asked and asked[1] == "check":
        print('OK ha1="' + hashlib.md5(f"check:{asked[2]}:secret".encode()).hexdigest() + '"', flush=True)
    else:
        print("ERR", flush=True)

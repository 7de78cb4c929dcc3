# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A pair of small sources, and what instar-diff is to say of them."""

import collections

DONE, FAILED, REFUSED, NOTHING = 0, 1, 3, 4

# `old`, `new`: the text of one file, or texts by the names of files. `says`: a part of the report; `never`: what is none.
# `link`: which build the program is linked from. `shared`: it is a shared object. `between`: a build that the program has got by an
# update before, which goes on from there.
Case = collections.namedtuple("Case", "name old new code says suffix flags options link shared never between",
                              defaults=("cc", [], [], "old", False, None, None))

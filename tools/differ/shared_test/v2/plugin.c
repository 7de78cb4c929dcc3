/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * The plug-in, in version 2. */

int host_note(const char* what);

static int calls = 0;

static int twice(int x) { return 3 * x; }

int plugin_run(int x) {
  calls++;
  return host_note("plug-in, version 2") + twice(x) + calls;
}

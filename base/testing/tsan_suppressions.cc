// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What ThreadSanitizer reports of libraries that were built without it. Linked
// into every test, and with --config=tsan into every program; without effect
// elsewhere.
//
// Abseil's Status counts its references by atomics, up in a header, down in a
// function of its library: ThreadSanitizer sees the one and not the other. The
// dynamic linker's lock, which dl_iterate_phdr() has, is not seen at all.

extern "C" const char* __tsan_default_suppressions() {
  return "race:absl::*Status::Unref*\n"
         "race:dl_iterate_phdr_cb\n";
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A shared object that is no update module.

extern "C" int Answer() { return 42; }

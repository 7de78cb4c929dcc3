// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that is not the one that loads the modules.

#include "manager/module_test/shop.h"

int main() { return shop::Price(0); }

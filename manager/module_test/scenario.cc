// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program that the modules are built for.

#include "manager/module_test/shop.h"

int main() { return shop::Price(0); }

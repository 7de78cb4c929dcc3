// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A part of the program that is compiled as one that is in one piece: it knows
// where all variables are.

#include "tools/differ/shared_test/shop.h"

int Sold() { return shop_sold; }

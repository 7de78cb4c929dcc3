// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

// Has a symbol that is unique in the whole process.

template <typename T>
struct Unique {
  static int value;
};
template <typename T>
int Unique<T>::value = 1;

int UseUnique() { return ++Unique<int>::value; }

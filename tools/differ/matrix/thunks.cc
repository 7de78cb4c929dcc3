// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Virtual functions that are called by a base which is not the first, and by a
// virtual one: through thunks, which lie in sections of their own.

struct Weight {
  virtual int Grams() = 0;
  int bias = 1;
};
struct Price {
  virtual int Cents() = 0;
  int base = 2;
};
struct Place {
  virtual int Shelf() = 0;
  int row = 3;
};
struct Product : Weight, Price, virtual Place {
  int Grams() override;
  int Cents() override;
  int Shelf() override;
  int calls = 0;
};

int Product::Grams() { return bias + VERSION * 10 + ++calls; }
int Product::Cents() { return base + VERSION * 100 + ++calls; }
int Product::Shelf() { return row + VERSION * 1000 + ++calls; }

Product product;
Price* volatile price = &product;
Place* volatile place = &product;

extern "C" int thunks() { return price->Cents() + place->Shelf(); }

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Virtual functions that are inline, and called by a base which is not the
// first, and by a virtual one: their thunks are copies of them, with entries of
// their own, in their sections. Version 1 brings a class, the next ones change
// it.

// Of cold_main.c.
extern "C" __attribute__((weak)) void park();

struct Weight {
  virtual ~Weight() = default;
  int bias = 1;
};
struct Price {
  virtual ~Price() = default;
  virtual int Cents() = 0;
  virtual int Wait() = 0;
  virtual Price* Self() = 0;
  int base = 2;
};
struct Place {
  virtual int Shelf() = 0;
  int row = 3;
};

int ended;
struct Product : Weight, Price, virtual Place {
  ~Product() override { ended = VERSION + 1; }
  int Cents() override { return base + VERSION * 10; }
  int Wait() override {
    park();
    return VERSION + 10;
  }
  Product* Self() override {
    calls += VERSION + 1;
    return this;
  }
  int Shelf() override { return row + VERSION * 100; }
  int calls = 0;
};
#if VERSION > 0
struct Gift : Weight, Price {
  int Cents() override { return base + VERSION * 1000; }
  int Wait() override { return 0; }
  Gift* Self() override { return this; }
};
Price* volatile gift;
#endif

Product product;
Price* volatile price = &product;
Place* volatile place = &product;

extern "C" int split(int) { return price->Wait(); }

extern "C" int chain(int x) {
  const int before = product.calls;
  Price* volatile copy = new Product;
  delete copy;
  int sum = price->Self()->Cents() + place->Shelf() +
            1000 * (product.calls - before) + 10000 * ended;
#if VERSION > 0
  if (gift == nullptr) gift = new Gift;
  sum += 100 * gift->Self()->Cents();
#endif
  return sum + x;
}

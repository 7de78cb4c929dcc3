// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The next version of a class comes from a shared object that is loaded while
// the program runs, with copies of its own of all that headers define.

#include <dlfcn.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/lazy_proxy.h"
#include "heap/module_test_product.h"
#include "heap/weak_object_pool.h"

namespace module_test {
namespace {

using instar::ConversionStep;
using instar::WeakObjectPool;

class ModuleTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    module_ = dlopen("heap/libmodule_test_module.so", RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(module_, nullptr) << dlerror();
  }
  template <typename Function>
  Function* Find(const char* name) {
    void* symbol = dlsym(module_, name);
    EXPECT_NE(symbol, nullptr) << dlerror();
    return reinterpret_cast<Function*>(symbol);
  }
  std::unique_ptr<ConversionStep> Step(bool lazily) {
    return std::unique_ptr<ConversionStep>(
        Find<MakeStepFunction>("MakeStep")(lazily));
  }

  static void* module_;
};
void* ModuleTest::module_ = nullptr;

TEST_F(ModuleTest, BothSidesMakeAndDestroyObjectsOfOneClass) {
  Product* theirs = Find<MakeProductFunction>("MakeProduct")(false);
  Product* ours = new Product("program");
  EXPECT_EQ(WeakObjectPool<Product>().Counts().Total(), 2u);
  EXPECT_EQ(WeakObjectPool<Product>().Counts().subclasses.size(), 0u);
  EXPECT_FALSE(Product::Class()->has_other_layout());
  delete theirs;
  Find<DestroyFunction>("Destroy")(ours);
  EXPECT_EQ(WeakObjectPool<Product>().Counts().Total(), 0u);
}

TEST_F(ModuleTest, ItsVersionReplacesTheProgramsEagerly) {
  std::vector<std::unique_ptr<Product>> products;
  for (int i = 0; i < 5000; ++i) {
    products.push_back(std::make_unique<Product>("apple"));
  }
  products.emplace_back(Find<MakeProductFunction>("MakeProduct")(false));
  auto step = Step(false);
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  for (auto& product : products) {
    ASSERT_EQ(product->Describe(), "v2 " + product->name);
    ASSERT_EQ(Find<VotesFunction>("Votes")(product.get()),
              static_cast<int>(product->name.size()));
  }
  // Made by the module as the next version from the start.
  products.emplace_back(Find<MakeProductFunction>("MakeProduct")(true));
  EXPECT_EQ(WeakObjectPool<Product>().Counts().by_version[1].second, 5002u);
  // The program's code destroys the module's objects.
  products.resize(2500);
  ASSERT_TRUE(step->Undo().ok());
  EXPECT_EQ(products[0]->Describe(), "v1 apple");
  EXPECT_EQ(WeakObjectPool<Product>().Counts().by_version[0].second, 2500u);
}

TEST_F(ModuleTest, ItsVersionReplacesTheProgramsLazily) {
  instar::LazyUnique<Product> product(std::make_unique<Product>("pear"));
  auto step = Step(true);
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(Find<VotesFunction>("Votes")(product.address()), -1);
  EXPECT_EQ(product->Describe(), "v2 pear");
  EXPECT_EQ(Find<VotesFunction>("Votes")(product.get()), 4);
  ASSERT_TRUE(step->Undo().ok());
  EXPECT_EQ(product->Describe(), "v1 pear");
}

}  // namespace
}  // namespace module_test

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/symbol_name.h"

#include <string>

#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

TEST(QualifiedName, DropsReturnTypeParametersAndQualifiers) {
  const struct {
    const char* readable;
    const char* qualified;
  } kCases[] = {
      {"main", "main"},
      {"ns::f(int)", "ns::f"},
      {"ns::f()", "ns::f"},
      {"int ns::Max<int>(int, int)", "ns::Max<int>"},
      {"unsigned long ns::Max<unsigned long>(unsigned long)",
       "ns::Max<unsigned long>"},
      {"ns::A::operator()(int) const", "ns::A::operator()"},
      {"ns::A::operator()() const &", "ns::A::operator()"},
      {"ns::A::operator<(ns::A const&) const", "ns::A::operator<"},
      {"ns::A::operator<<(int)", "ns::A::operator<<"},
      {"ns::A::operator->() const", "ns::A::operator->"},
      {"bool ns::operator< <int>(ns::B<int> const&)", "ns::operator< <int>"},
      {"ns::A::operator unsigned long() const",
       "ns::A::operator unsigned long"},
      {"operator new(unsigned long)", "operator new"},
      {"ns::(anonymous namespace)::f(int)", "ns::(anonymous namespace)::f"},
      {"ns::f(int)::{lambda(int)#1}::operator()(int) const",
       "ns::f(int)::{lambda(int)#1}::operator()"},
      {"ns::A::f(int) const::{lambda()#2}::operator()() const",
       "ns::A::f(int) const::{lambda()#2}::operator()"},
      {"f(void (*)(int), int)", "f"},
      {"ns::f[abi:cxx11](int)", "ns::f[abi:cxx11]"},
      {"f(int) [clone .part.0]", "f"},
      {"ns::C<(ns::E)1>::f(int)", "ns::C<(ns::E)1>::f"},
      {"f(int)::counter", "f(int)::counter"},
      {"vtable for ns::A", "vtable for ns::A"},
      {"ns::A::~A()", "ns::A::~A"},
      {"operator_like(int)", "operator_like"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(QualifiedName(c.readable), c.qualified) << c.readable;
  }
}

TEST(WithoutReturnType, KeepsParameters) {
  EXPECT_EQ(WithoutReturnType("int ns::Max<int>(int, int)"),
            "ns::Max<int>(int, int)");
  EXPECT_EQ(WithoutReturnType("ns::A::f(int) const"), "ns::A::f(int) const");
}

TEST(CanonicalName, IsTheSameForWhatMeansTheSame) {
  EXPECT_EQ(CanonicalName("f( int ,char  const & )"), "f(int,char const&)");
  EXPECT_EQ(CanonicalName("f(void)"), "f()");
  EXPECT_EQ(CanonicalName("f[abi:cxx11](int)"), "f(int)");
  EXPECT_EQ(CanonicalName("f(const char*)"), CanonicalName("f(char const*)"));
  EXPECT_EQ(CanonicalName("f(int, const ns::A<const int> &)"),
            CanonicalName("f(int,ns::A<int const> const&)"));
  EXPECT_EQ(CanonicalName(
                "f(std::__cxx11::basic_string<char, std::char_traits<char>, "
                "std::allocator<char> > const&)"),
            CanonicalName("f(const std::string&)"));
  EXPECT_NE(CanonicalName("f(unsigned int)"), CanonicalName("f(unsignedint)"));
  EXPECT_NE(CanonicalName("f(char*)"), CanonicalName("f(const char*)"));
}

TEST(WithoutTemplateArguments, LeavesOperatorsAlone) {
  EXPECT_EQ(WithoutTemplateArguments("ns::A<B<int>>::f<3>(int)"),
            "ns::A::f(int)");
  EXPECT_EQ(WithoutTemplateArguments("ns::A<int>::operator<<"),
            "ns::A::operator<<");
  EXPECT_EQ(WithoutTemplateArguments("ns::A<int>::operator->"),
            "ns::A::operator->");
}

TEST(WithoutEnclosingParameters, DropsThemBeforeColonsOnly) {
  EXPECT_EQ(WithoutEnclosingParameters("f(int)::counter"), "f::counter");
  EXPECT_EQ(WithoutEnclosingParameters("A::f(int) const::counter"),
            "A::f::counter");
  EXPECT_EQ(WithoutEnclosingParameters("f(int)"), "f(int)");
  EXPECT_EQ(WithoutEnclosingParameters("A::operator()(int)::x"),
            "A::operator()::x");
  EXPECT_EQ(WithoutEnclosingParameters("f(int)::{lambda(int)#1}::operator()"),
            "f::{lambda(int)#1}::operator()");
}

TEST(MatchName, PrefersWhatIsSaidInFull) {
  const auto match = [](const char* wanted, const char* readable) {
    return MatchName(wanted, "linkage", readable);
  };
  EXPECT_EQ(match("linkage", "ns::f(int)"), 0);
  EXPECT_EQ(match("ns::f(int)", "ns::f(int)"), 1);
  EXPECT_EQ(match("ns::f", "ns::f(int)"), 1);
  EXPECT_EQ(match("ns::f(int)", "ns::f(int) const"), 1);
  EXPECT_EQ(match("ns::f(long)", "ns::f(int)"), -1);
  EXPECT_EQ(match("ns::Max<int>", "int ns::Max<int>(int)"), 1);
  EXPECT_EQ(match("ns::Max<int>(int)", "int ns::Max<int>(int)"), 1);
  EXPECT_EQ(match("int ns::Max<int>(int)", "int ns::Max<int>(int)"), 1);
  EXPECT_EQ(match("ns::Max", "int ns::Max<int>(int)"), 2);
  EXPECT_EQ(match("ns::Max<long>", "int ns::Max<int>(int)"), -1);
  EXPECT_EQ(match("ns::f", "ns::(anonymous namespace)::f(int)"), 2);
  EXPECT_EQ(match("ns::g", "ns::(anonymous namespace)::g<int>(int)"), 3);
  EXPECT_EQ(match("f::x", "f(int)::x"), 2);
  EXPECT_EQ(match("f", "ns::f(int)"), -1);
}

TEST(Demangle, LeavesOtherNamesAlone) {
  EXPECT_EQ(Demangle("_ZN2ns1fEi"), "ns::f(int)");
  EXPECT_EQ(Demangle("i"), "i");  // also the mangled name of `int`
  EXPECT_EQ(Demangle("memcpy"), "memcpy");
  EXPECT_EQ(DemangleType("i"), "int");
}

}  // namespace
}  // namespace code_internal
}  // namespace instar

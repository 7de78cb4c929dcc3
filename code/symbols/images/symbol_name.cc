// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/symbol_name.h"

#include <cxxabi.h>

#include <cctype>
#include <cstdlib>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace instar {
namespace code_internal {
namespace {

bool IsWord(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '$'; }

// If `name` has the word `operator` at `i`, where the operator's own symbol
// ends (so that its brackets are not counted); otherwise `i`. For a conversion
// (`operator int`) that is the end of the word.
size_t SkipOperator(absl::string_view name, size_t i) {
  constexpr absl::string_view kWord = "operator";
  if (!absl::StartsWith(name.substr(i), kWord) ||
      (i > 0 && IsWord(name[i - 1]))) {
    return i;
  }
  size_t end = i + kWord.size();
  if (end < name.size() && IsWord(name[end])) return i;
  absl::string_view rest = name.substr(end);
  for (absl::string_view symbol : {"()", "[]", "<<=", ">>=", "<=>", "->*", "<<",
                                   ">>", "<=", ">=", "->", "<", ">"}) {
    if (absl::StartsWith(rest, symbol)) return end + symbol.size();
  }
  return end;
}

// Where the parameter list of a readable name begins, or npos.
size_t FindParameters(absl::string_view name) {
  absl::string_view rest = name;
  const size_t clone = rest.find(" [clone ");
  if (clone != absl::string_view::npos) rest = rest.substr(0, clone);
  for (bool again = true; again;) {
    again = false;
    for (absl::string_view qualifier :
         {" const", " volatile", " &&", " &", "&&", "&", " noexcept"}) {
      if (absl::ConsumeSuffix(&rest, qualifier)) again = true;
    }
  }
  if (!absl::EndsWith(rest, ")")) return absl::string_view::npos;
  int depth = 0;
  for (size_t i = rest.size(); i-- > 0;) {
    if (rest[i] == ')') ++depth;
    if (rest[i] == '(' && --depth == 0) {
      // "operator()" alone, or "(anonymous namespace)", are no parameters.
      if (absl::EndsWith(rest.substr(0, i), "operator") ||
          rest.substr(i) == "(anonymous namespace)") {
        return absl::string_view::npos;
      }
      return i;
    }
  }
  return absl::string_view::npos;
}

// Where the name begins, behind a return type, if it ends at `end`.
size_t FindNameStart(absl::string_view name, size_t end) {
  size_t start = 0;
  int depth = 0;
  for (size_t i = 0; i < end; ++i) {
    const size_t behind = SkipOperator(name, i);
    if (behind != i) {
      if (depth == 0) return start;  // blanks after this belong to the name
      i = behind - 1;
      continue;
    }
    switch (name[i]) {
      case '<':
      case '(':
      case '{':
      case '[':
        ++depth;
        break;
      case '>':
      case ')':
      case '}':
      case ']':
        --depth;
        break;
      case ' ': {
        const absl::string_view rest = name.substr(i);
        const bool qualifier = absl::StartsWith(rest, " const") ||
                               absl::StartsWith(rest, " volatile") ||
                               absl::StartsWith(rest, " [") ||
                               absl::StartsWith(rest, " &");
        if (depth == 0 && !qualifier) start = i + 1;
        break;
      }
      default:
        break;
    }
  }
  return start;
}

}  // namespace

std::string Demangle(absl::string_view linkage_name) {
  const std::string name(linkage_name);
  return absl::StartsWith(name, "_Z") ? DemangleType(name.c_str()) : name;
}

std::string DemangleType(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? readable.get() : name;
}

std::string QualifiedName(absl::string_view readable) {
  const size_t parameters = FindParameters(readable);
  if (parameters == absl::string_view::npos) return std::string(readable);
  const size_t start = FindNameStart(readable, parameters);
  return std::string(readable.substr(start, parameters - start));
}

std::string WithoutReturnType(absl::string_view readable) {
  const size_t parameters = FindParameters(readable);
  if (parameters == absl::string_view::npos) return std::string(readable);
  return std::string(readable.substr(FindNameStart(readable, parameters)));
}

std::string WithoutAnonymousNamespaces(absl::string_view name) {
  return absl::StrReplaceAll(name, {{"(anonymous namespace)::", ""}});
}

std::string WithoutTemplateArguments(absl::string_view name) {
  std::string result;
  int depth = 0;
  for (size_t i = 0; i < name.size();) {
    const size_t behind = SkipOperator(name, i);
    if (behind != i) {
      if (depth == 0) absl::StrAppend(&result, name.substr(i, behind - i));
      i = behind;
      continue;
    }
    const char c = name[i++];
    if (c == '<') ++depth;
    if (depth == 0) result.push_back(c);
    if (c == '>') --depth;
  }
  return result;
}

std::string WithStdString(absl::string_view name) {
  return absl::StrReplaceAll(
      name, {{"std::__cxx11::basic_string<char, std::char_traits<char>, "
              "std::allocator<char> >",
              "std::string"}});
}

std::string CanonicalName(absl::string_view name) {
  std::string text =
      absl::StrReplaceAll(WithStdString(name), {{"(void)", "()"}});
  for (size_t tag; (tag = text.find("[abi:")) != std::string::npos;) {
    const size_t end = text.find(']', tag);
    text.erase(tag, end == std::string::npos ? end : end + 1 - tag);
  }
  // `const T` at the start of a parameter or template argument: `T const`. The
  // qualified type ends where a declarator, another argument or the list does.
  for (size_t i = 0; i < text.size();) {
    const bool starts = i == 0 || text[i - 1] == '(' || text[i - 1] == ',' ||
                        text[i - 1] == '<' ||
                        (i >= 2 && text[i - 1] == ' ' && text[i - 2] == ',');
    if (i > 0 && starts && absl::StartsWith(text.substr(i), "const ")) {
      size_t end = i + 6;
      for (int depth = 0; end < text.size(); ++end) {
        const char c = text[end];
        if (depth == 0 && absl::StrContains("*&,)>", c)) break;
        if (c == '<' || c == '(') ++depth;
        if (c == '>' || c == ')') --depth;
      }
      const absl::string_view type = absl::StripAsciiWhitespace(
          absl::string_view(text).substr(i + 6, end - i - 6));
      text = absl::StrCat(text.substr(0, i), type, " const", text.substr(end));
      continue;
    }
    ++i;
  }
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (absl::ascii_isspace(text[i])) {
      size_t next = i;
      while (next < text.size() && absl::ascii_isspace(text[next])) ++next;
      if (result.empty() || next == text.size() || !IsWord(result.back()) ||
          !IsWord(text[next])) {
        continue;
      }
      if (result.back() != ' ') result.push_back(' ');
      i = next - 1;
      continue;
    }
    result.push_back(text[i]);
  }
  return result;
}

std::string WithoutEnclosingParameters(absl::string_view name) {
  std::string result(name);
  for (size_t i = 0; i < result.size(); ++i) {
    const size_t behind = SkipOperator(result, i);
    if (behind != i) {
      i = behind - 1;
      continue;
    }
    if (result[i] == '{') {  // a lambda's parameters tell it from others
      i = result.find('}', i);
      if (i == std::string::npos) break;
      continue;
    }
    if (result[i] != '(' ||
        absl::StartsWith(absl::string_view(result).substr(i),
                         "(anonymous namespace)")) {
      continue;
    }
    int depth = 0;
    size_t end = i;
    do {
      if (result[end] == '(') ++depth;
      if (result[end] == ')') --depth;
      ++end;
    } while (depth > 0 && end < result.size());
    absl::string_view rest = absl::string_view(result).substr(end);
    absl::ConsumePrefix(&rest, " ");
    absl::ConsumePrefix(&rest, "const");
    if (absl::StartsWith(rest, "::")) {
      result.erase(i, result.size() - rest.size() - i);
    }
  }
  return result;
}

std::string NameKey(absl::string_view readable) {
  std::string key = CanonicalName(QualifiedName(readable));
  key = WithoutAnonymousNamespaces(WithoutTemplateArguments(key));
  return WithoutEnclosingParameters(key);
}

int MatchName(absl::string_view wanted, absl::string_view linkage_name,
              absl::string_view readable) {
  if (wanted == linkage_name) return 0;
  constexpr int kOmissions = 3;
  const std::string want = CanonicalName(WithoutReturnType(wanted));
  const std::string full = CanonicalName(WithoutReturnType(readable));
  const std::string qualified = CanonicalName(QualifiedName(readable));
  int best = -1;
  for (int mask = 0; mask < 1 << kOmissions; ++mask) {
    int level = 1 + __builtin_popcount(mask);
    if (best >= 0 && level >= best) continue;
    const auto omit = [mask](std::string name) {
      if ((mask & 1) != 0) name = WithoutAnonymousNamespaces(name);
      if ((mask & 2) != 0) name = WithoutTemplateArguments(name);
      if ((mask & 4) != 0) name = WithoutEnclosingParameters(name);
      return name;
    };
    const std::string whole = omit(full);
    if (want == whole || want == omit(qualified) ||
        absl::StrCat(want, "const") == whole) {
      best = level;
    }
  }
  return best;
}

}  // namespace code_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Compiled twice, with INSTAR_KERNELS naming the namespace. All functions of a
// kernel have external linkage: each can be redefined. Only what makes the
// input of one is file-local.

#include "code/benchmark/kernels_for_benchmark.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace instar {
namespace INSTAR_KERNELS {

// JSON.

struct Json {
  enum class Kind { kNull, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  double number = 0;
  std::string text;
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;
};

class JsonParser {
 public:
  explicit JsonParser(const std::string& text) : at_(text.c_str()) {}
  Json Value();

 private:
  void SkipSpace();
  Json Number();
  Json Array();
  Json Object();
  std::string Text();

  const char* at_;
};

void JsonParser::SkipSpace() {
  while (std::isspace(static_cast<unsigned char>(*at_))) ++at_;
}

Json JsonParser::Value() {
  SkipSpace();
  if (*at_ == '{') return Object();
  if (*at_ == '[') return Array();
  if (*at_ != '"') return Number();
  Json value;
  value.kind = Json::Kind::kString;
  value.text = Text();
  return value;
}

Json JsonParser::Number() {
  Json value;
  value.kind = Json::Kind::kNumber;
  char* end = nullptr;
  value.number = std::strtod(at_, &end);
  at_ = end;
  return value;
}

std::string JsonParser::Text() {
  std::string text;
  for (++at_; *at_ != '"'; ++at_) {
    if (*at_ == '\\') ++at_;
    text.push_back(*at_);
  }
  ++at_;
  return text;
}

Json JsonParser::Array() {
  Json value;
  value.kind = Json::Kind::kArray;
  ++at_;
  for (SkipSpace(); *at_ != ']'; SkipSpace()) {
    value.items.push_back(Value());
    SkipSpace();
    if (*at_ == ',') ++at_;
  }
  ++at_;
  return value;
}

Json JsonParser::Object() {
  Json value;
  value.kind = Json::Kind::kObject;
  ++at_;
  for (SkipSpace(); *at_ != '}'; SkipSpace()) {
    std::string name = Text();
    SkipSpace();
    ++at_;  // the colon
    value.members.emplace_back(std::move(name), Value());
    SkipSpace();
    if (*at_ == ',') ++at_;
  }
  ++at_;
  return value;
}

std::string Document() {
  std::string text = "[";
  for (int i = 0; i < 1000; ++i) {
    text += "{\"name\": \"product " + std::to_string(i) +
            "\", \"stock\": " + std::to_string(i * 7 % 100) +
            ", \"marks\": [1, 2.5, 3, 4.25], \"site\": {\"x\": 1}},";
  }
  text.back() = ']';
  return text;
}

uint64_t CountValues(const Json& value) {
  uint64_t count = 1;
  for (const Json& item : value.items) count += CountValues(item);
  for (const auto& member : value.members) count += CountValues(member.second);
  return count;
}

uint64_t ParseJson() {
  static const std::string& document = *new std::string(Document());
  return CountValues(JsonParser(document).Value());
}

// Hash map.

struct Key {
  uint64_t value;
  bool operator==(const Key& other) const { return value == other.value; }
};
struct KeyHash {
  size_t operator()(const Key& key) const {
    return key.value * 0x9E3779B97F4A7C15u >> 20;
  }
};
struct Count {
  uint64_t value = 0;
};

namespace {

// Makes the input.
uint64_t NextRandom(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return state >> 33;
}

}  // namespace

uint64_t FillHashMap() {
  std::unordered_map<Key, Count, KeyHash> counts;
  uint64_t random = 1;
  for (int i = 0; i < 20000; ++i) {
    counts[Key{NextRandom(random) & 4095}].value += 1;
  }
  uint64_t most = 0;
  for (const auto& count : counts) most = std::max(most, count.second.value);
  return most;
}

// Sort.

struct Record {
  uint64_t key;
  uint64_t value;
};

bool ComesBefore(const Record& a, const Record& b) {
  return a.key != b.key ? a.key < b.key : a.value < b.value;
}

uint64_t Sort() {
  std::vector<Record> records(20000);
  uint64_t random = 2;
  for (Record& record : records) {
    record.key = NextRandom(random) & 1023;
    record.value = NextRandom(random);
  }
  std::sort(records.begin(), records.end(), &ComesBefore);
  return records[records.size() / 2].value;
}

// Matrix product.

struct Matrix {
  static constexpr int kSize = 100;
  double at[kSize][kSize];
};

void Multiply(const Matrix& __restrict a, const Matrix& __restrict b,
              Matrix& __restrict result) {
  for (int i = 0; i < Matrix::kSize; ++i) {
    for (int j = 0; j < Matrix::kSize; ++j) result.at[i][j] = 0;
    for (int k = 0; k < Matrix::kSize; ++k) {
      const double factor = a.at[i][k];
      for (int j = 0; j < Matrix::kSize; ++j) {
        result.at[i][j] += factor * b.at[k][j];
      }
    }
  }
}

uint64_t MultiplyMatrices() {
  // Allocated: in static storage it would be measured whether the linker puts
  // one so that it aliases another.
  std::vector<Matrix> matrices(3);
  Matrix& a = matrices[0];
  Matrix& b = matrices[1];
  Matrix& result = matrices[2];
  for (int i = 0; i < Matrix::kSize; ++i) {
    for (int j = 0; j < Matrix::kSize; ++j) {
      a.at[i][j] = i + j;
      b.at[i][j] = i - j;
    }
  }
  Multiply(a, b, result);
  return static_cast<uint64_t>(result.at[7][5]);
}

// Recursive calls.

uint64_t Fibonacci(int n) {
  return n < 2 ? static_cast<uint64_t>(n) : Fibonacci(n - 1) + Fibonacci(n - 2);
}

struct Node {
  uint64_t value;
  Node* left;
  Node* right;
};

uint64_t SumOfTree(const Node* node) {
  return node == nullptr
             ? 0
             : node->value + SumOfTree(node->left) + SumOfTree(node->right);
}

Node* MakeTree(std::vector<Node>& nodes, int first, int last) {
  if (first >= last) return nullptr;
  const int middle = (first + last) / 2;
  Node& node = nodes[static_cast<size_t>(middle)];
  node.value = static_cast<uint64_t>(middle);
  node.left = MakeTree(nodes, first, middle);
  node.right = MakeTree(nodes, middle + 1, last);
  return &node;
}

uint64_t Recurse() {
  std::vector<Node> nodes(10000);
  const Node* const root = MakeTree(nodes, 0, 10000);
  return Fibonacci(22) + SumOfTree(root);
}

}  // namespace INSTAR_KERNELS
}  // namespace instar

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/json.h"
#include "exporter/proof.h"
#include "support/json.h"

namespace onnxport::exporter {
namespace {

using nlohmann::json;

/// A number that definitions compare with another one.
struct Relation {
  std::string_view key, other;
};
constexpr Relation relations[] = {{"num_key_value_heads", "num_attention_heads"},
                                  {"num_kv_heads", "num_attention_heads"},
                                  {"embedding_size", "hidden_size"},
                                  {"word_embed_proj_dim", "hidden_size"}};

/// One object of the configuration.
struct Part {
  std::string model_type;
  std::string token, text, inside;
  std::map<std::string, std::vector<json>, std::less<>> values;

  std::optional<double> number(std::string_view key) const {
    const auto it = values.find(key);
    if (it == values.end() || !it->second.front().is_number()) return {};
    return it->second.front().get<double>();
  }
};
using Parts = std::map<std::string, Part, std::less<>>;  // by path: an owner comes before its objects

std::string join(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

/// The path of the object that has this one, and the key that it is under.
std::pair<std::string_view, std::string_view> split(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  if (dot == std::string_view::npos) return {"", path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

Parts parts_of(std::string_view definition, const std::vector<ReadKey>& keys) {
  Parts parts;
  for (const ReadKey& read : keys) {
    Part& part = parts[read.path];
    part.model_type = read.model_type;
    part.values[read.key].push_back(parse_json<json>(read.value));
  }
  for (auto& [path, part] : parts) {
    std::string implied(definition);
    if (!path.empty()) {
      const auto [owner, key] = split(path);
      const auto it = parts.find(owner);
      if (it != parts.end()) part.inside = it->second.token;
      implied = fmt::format("{}.{}", it != parts.end() ? it->second.model_type : definition, key);
    }
    const bool typed = part.model_type != implied;
    part.token = typed ? fmt::format("{}({})", path, part.model_type) : path;
    part.text = typed ? fmt::format("{}={}", join(path, "model_type"), part.model_type) : path;
  }
  return parts;
}

std::string class_of_number(const Part& part, std::string_view key, double value) {
  if (key.ends_with("_token_id")) return "n";
  for (const Relation& relation : relations) {
    const auto other = part.number(relation.other);
    if (relation.key != key || !other) continue;
    if (value == *other) return fmt::format("={}", relation.other);
    return value == 1 ? "=1" : "n";
  }
  // Heads are usually as wide as they share the hidden states: that is their 1.
  const auto heads = part.number("num_attention_heads"), width = part.number("hidden_size");
  if (key == "head_dim" && heads && width) return value * *heads == *width ? "1" : "n";
  if (value < 0) return "negative";
  return value == 0 ? "0" : value == 1 ? "1" : "n";
}

std::string without_digits(std::string text) {
  std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
  return text;
}

/// The ends of the tokens of a value: `=gelu`, `:n`.
std::vector<std::string> classes_of(const Part& part, std::string_view key, const json& value) {
  if (value.is_string()) return {"=" + value.get<std::string>()};
  if (value.is_boolean() && value.get<bool>()) return {":yes"};
  if (value.is_number()) return {":" + class_of_number(part, key, value.get<double>())};
  if (!value.is_array() || value.empty()) return {":no"};
  if (!value.front().is_string()) return {":list"};
  std::set<std::string> items;
  for (const json& item : value) items.insert("=" + without_digits(item.get<std::string>()));
  return {items.begin(), items.end()};
}

std::string text_of(const json& value) {
  std::string text = config::brief(value);
  if (!value.is_string()) return text;
  text.erase(0, 1);
  if (text.ends_with('"')) text.pop_back();  // else it was cut
  return text;
}

}  // namespace

std::vector<Exercised> exercised(std::string_view definition, const std::vector<ReadKey>& keys) {
  std::vector<Exercised> result;
  const Parts parts = parts_of(definition, keys);
  std::set<std::string> seen;
  for (const auto& [path, part] : parts) {
    if (!part.token.empty()) result.push_back({part.token, part.text, part.inside});
    for (const auto& [key, values] : part.values) {
      const std::string name = join(path, key);
      if (parts.contains(name) && values.front() == true) continue;  // the object speaks for itself
      for (const json& value : values) {
        for (const std::string& end : classes_of(part, key, value)) {
          std::string token = join(part.token, key) + end;
          if (!seen.insert(token).second) continue;
          std::string text = value.is_array() && end.front() == '=' ? end : "=" + text_of(value);
          result.push_back({std::move(token), name + text, part.token});
        }
      }
    }
  }
  return result;
}

}  // namespace onnxport::exporter

#include "layout/generation_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>

#include "config/json.h"
#include "onnxport/error.h"

namespace onnxport::layout {
namespace {

using nlohmann::json;

constexpr const char* kFile = "generation_config.json";

// A token is stored as text, or as an object with `content`.
std::string text_of(const json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (!token.is_object()) return {};
  const auto content = token.find("content");
  return content != token.end() && content->is_string() ? content->get<std::string>() : std::string();
}

std::optional<std::int64_t> number_of(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// The id of the tokenizer's eos_token, from the tables of special tokens.
std::optional<std::int64_t> end_of_turn(const Model& model) {
  const json tokenizer = read_object(model, "tokenizer_config.json");
  const auto named = tokenizer.find("eos_token");
  const std::string token = named == tokenizer.end() ? std::string() : text_of(*named);
  if (token.empty()) return {};
  if (const auto added = tokenizer.find("added_tokens_decoder");
      added != tokenizer.end() && added->is_object()) {
    for (const auto& [id, entry] : added->items()) {
      if (text_of(entry) == token) return number_of(id);
    }
  }
  const json added = read_object(model, "added_tokens.json");
  const auto id = added.find(token);
  if (id == added.end() || !id->is_number_integer()) return {};
  return id->get<std::int64_t>();
}

}  // namespace

json read_object(const Model& model, const char* name) {
  if (!model.has_file(name)) return json::object();
  json values = config::parse_json(model.read_file(name), (model.folder() / name).string());
  return values.is_object() ? values : json::object();
}

GenerationSettings::GenerationSettings(const Model& model) {
  if (model.has_file(kFile)) {
    sources_.push_back(PretrainedConfig::from_json(model.read_file(kFile), (model.folder() / kFile).string(),
                                                   "generation_config"));
  }
  sources_.push_back(model.config().unaccounted());
}

const PretrainedConfig* GenerationSettings::source_of(std::string_view key) const {
  const auto it = std::find_if(sources_.begin(), sources_.end(),
                               [&](const PretrainedConfig& source) { return source.has(key); });
  return it == sources_.end() ? nullptr : &*it;
}

std::optional<std::int64_t> GenerationSettings::integer(std::string_view key) const {
  const PretrainedConfig* source = source_of(key);
  return source == nullptr ? std::nullopt : source->maybe_integer(key);
}

std::optional<double> GenerationSettings::real(std::string_view key) const {
  const PretrainedConfig* source = source_of(key);
  return source == nullptr ? std::nullopt : source->maybe_real(key);
}

bool GenerationSettings::flag(std::string_view key) const {
  const PretrainedConfig* source = source_of(key);
  return source != nullptr && source->flag(key);
}

std::vector<std::int64_t> GenerationSettings::integers(std::string_view key) const {
  const PretrainedConfig* source = source_of(key);
  return source == nullptr ? std::vector<std::int64_t>() : source->integers(key);
}

std::vector<std::int64_t> end_tokens(const Model& model, const GenerationSettings& settings,
                                     std::int64_t vocab_size) {
  std::vector<std::int64_t> tokens = settings.integers("eos_token_id");
  if (const auto token = end_of_turn(model);
      token && std::find(tokens.begin(), tokens.end(), *token) == tokens.end())
    tokens.insert(tokens.begin(), *token);
  const std::vector<std::int64_t> found = tokens;
  std::erase_if(tokens, [&](std::int64_t token) { return token < 0 || token >= vocab_size; });
  if (!tokens.empty()) return tokens;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("--layout genai: {} and {}: eos_token_id is {}, expected a token from 0 to {}; "
                  "onnxruntime-genai cannot generate without it; add it to {}",
                  (model.folder() / kFile).string(), model.config().origin(),
                  found.empty() ? "missing" : fmt::format("{}", fmt::join(found, ", ")), vocab_size - 1,
                  kFile));
}

}  // namespace onnxport::layout

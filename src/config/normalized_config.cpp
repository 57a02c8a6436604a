#include <utility>

#include "onnxport/config.h"

namespace onnxport {
namespace {

/// The object and the key that a name like `text_config.hidden_size` stands for.
std::pair<PretrainedConfig, std::string> resolve(PretrainedConfig config, std::string_view quantity,
                                                 const NormalizedConfig::Names& names) {
  const auto it = names.find(quantity);
  std::string key = it != names.end() ? it->second : std::string(quantity);
  for (auto dot = key.find('.'); dot != std::string::npos; dot = key.find('.')) {
    config = config.sub(key.substr(0, dot));
    key.erase(0, dot + 1);
  }
  return {std::move(config), std::move(key)};
}

}  // namespace

NormalizedConfig NormalizedConfig::with_args(const Names& names) const {
  Names merged = names;
  merged.insert(names_.begin(), names_.end());
  return {config_, std::move(merged)};
}

std::int64_t NormalizedConfig::operator[](std::string_view quantity) const {
  const auto [config, key] = resolve(config_, quantity, names_);
  return config.integer(key);
}

std::optional<std::int64_t> NormalizedConfig::maybe(std::string_view quantity) const {
  const auto [config, key] = resolve(config_, quantity, names_);
  return config.maybe_integer(key);
}

std::vector<std::int64_t> NormalizedConfig::list(std::string_view quantity) const {
  const auto [config, key] = resolve(config_, quantity, names_);
  return config.has(key) ? config.integers(key) : std::vector<std::int64_t>();
}

NormalizedConfig NormalizedTextConfig(const PretrainedConfig& config) {
  return {config, {{"num_layers", "num_hidden_layers"}}};
}

NormalizedConfig NormalizedSeq2SeqConfig(const PretrainedConfig& config) {
  return {config,
          {{"encoder_num_layers", "encoder_layers"},
           {"decoder_num_layers", "decoder_layers"},
           {"encoder_num_attention_heads", "encoder_attention_heads"},
           {"decoder_num_attention_heads", "decoder_attention_heads"},
           {"num_layers", "decoder_layers"},
           {"num_attention_heads", "decoder_attention_heads"},
           {"hidden_size", "d_model"}}};
}

NormalizedConfig NormalizedVisionConfig(const PretrainedConfig& config) { return {config, {}}; }

}  // namespace onnxport

#include "models/common/gguf_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <vector>

namespace onnxport::models {
namespace {

using Dims = std::vector<std::int64_t>;
using nlohmann::json;

/// Elements of a row.
std::int64_t columns(const Weight& w) {
  return std::accumulate(w.shape().begin() + 1, w.shape().end(), std::int64_t{1}, std::multiplies<>());
}

/// [outer, a, b, inner] to [outer, b, a, inner], in the shape of the weight.
Weight swap(const Weight& w, const Dims& split) {
  return w.reshape(split).permute({0, 2, 1, 3}).reshape(w.shape());
}

}  // namespace

GgufRestore rotary_halves(std::int64_t heads) {
  return [heads](const Weight& w) { return swap(w, {heads, w.shape().at(0) / heads / 2, 2, columns(w)}); };
}

GgufRestore per_head(std::int64_t heads) {
  return
      [heads](const Weight& w) { return swap(w, {1, 3, heads, w.shape().at(0) / heads / 3 * columns(w)}); };
}

GgufRestore per_key_head(std::int64_t heads, std::int64_t kv_heads) {
  return [=](const Weight& w) {
    const Dims& shape = w.shape();
    const std::int64_t head = shape.at(0) / (heads + 2 * kv_heads);
    std::vector<Weight> parts;
    std::int64_t begin = 0;
    for (const std::int64_t n : {heads, kv_heads, kv_heads}) {
      Dims grouped = shape;
      grouped[0] = n / kv_heads * head;
      grouped.insert(grouped.begin(), kv_heads);
      parts.push_back(w.slice(0, begin, begin + n * head).reshape(grouped));
      begin += n * head;
    }
    return Weight::concat(parts, 1).reshape(shape);
  };
}

Weight transposed(const Weight& stored) {
  return stored.shape().size() == 2 ? stored.permute({1, 0}) : stored;
}

Weight minus_one(const Weight& stored) {
  const std::array one = {1.0};
  return stored.sub(Weight::from_doubles(stored.dtype(), {1}, one));
}

// ---------------------------------------------------------------------------------------------------------------------
// Scaled positions

namespace {

/// The elements of a small tensor, or nothing.
std::vector<double> small_tensor(const GgufInfo& file, std::string_view name) {
  constexpr std::int64_t kMost = 65'536;
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end() || found->second.numel() > kMost) return {};
  return found->second.to_doubles();
}

/// `high`: high_freq_factor, which is 4, and 1 in Llama 4. The rest is the same in all published models.
ConfigTexts llama3_scaling(const GgufInfo& file, double high) {
  constexpr double kLow = 1, kOriginal = 8192, kTwoPi = 6.283185307179586;
  const std::vector<double> factors = small_tensor(file, "rope_freqs.weight");
  if (factors.empty()) return {};
  const double theta = file.real(file.architecture() + ".rope.freq_base").value_or(10'000);
  // The share of a frequency that stays unchanged.
  const auto kept = [&](std::size_t i) {
    const double turn = static_cast<double>(i) / static_cast<double>(factors.size());
    const double length = kTwoPi * std::pow(theta, turn);
    return std::clamp((kOriginal / length - kLow) / (high - kLow), 0.0, 1.0);
  };
  // The slowest frequency shows the factor, which has few digits.
  const double last = kept(factors.size() - 1);
  const double factor = std::round((1 - last) / (1 / factors.back() - last) * 1000) / 1000;
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double expected = 1 / ((1 - kept(i)) / factor + kept(i));
    if (!(std::abs(factors[i] - expected) <= 1e-4 * expected)) return {};
  }
  return {{"rope_scaling", json({{"rope_type", "llama3"},
                                 {"factor", factor},
                                 {"low_freq_factor", kLow},
                                 {"high_freq_factor", high},
                                 {"original_max_position_embeddings", static_cast<std::int64_t>(kOriginal)}})
                               .dump()}};
}

}  // namespace

ConfigTexts llama3_scaling(const GgufInfo& file) {
  ConfigTexts texts = llama3_scaling(file, 4);
  return texts.empty() ? llama3_scaling(file, 1) : texts;
}

ConfigTexts longrope(const GgufInfo& file) {
  const auto original = file.integer(file.architecture() + ".rope.scaling.original_context_length");
  const auto list = [&](const char* name) {
    std::vector<std::string> numbers;
    for (const double factor : small_tensor(file, name)) {
      numbers.push_back(fmt::format("{}", static_cast<float>(factor)));
    }
    return fmt::format("[{}]", fmt::join(numbers, ", "));
  };
  const std::string longer = list("rope_factors_long.weight"), shorter = list("rope_factors_short.weight");
  if (!original || longer == "[]" || shorter == "[]") return {};
  return {{"original_max_position_embeddings", std::to_string(*original)},
          {"rope_scaling",
           fmt::format(R"({{"type": "longrope", "long_factor": {}, "short_factor": {}}})", longer, shorter)}};
}

std::function<ConfigTexts(const GgufInfo&)> whether_stored(std::string key, std::string tensor) {
  return [key = std::move(key), tensor = std::move(tensor)](const GgufInfo& file) {
    return ConfigTexts{{key, file.has_tensor(tensor) ? "true" : "false"}};
  };
}

ConfigTexts partial_rotary(const GgufInfo& file) {
  const auto of = [&](const char* key) { return file.integer(file.architecture() + key).value_or(0); };
  const std::int64_t turning = of(".rope.dimension_count"), heads = of(".attention.head_count");
  std::int64_t head = of(".attention.key_length");
  if (head == 0 && heads > 0) head = of(".embedding_length") / heads;
  if (turning <= 0 || head <= 0) return {};
  return {{"partial_rotary_factor", json(static_cast<double>(turning) / static_cast<double>(head)).dump()}};
}

ConfigTexts stated_window(const GgufInfo& file) {
  const auto window = file.integer(file.architecture() + ".attention.sliding_window");
  if (!window || *window <= 0) return {};
  return {{"sliding_window", std::to_string(*window)}};
}

ConfigTexts sliding_layers(const GgufInfo& file) {
  const GgufValue* found = file.find(file.architecture() + ".attention.sliding_window_pattern");
  const auto* list = found == nullptr ? nullptr : std::get_if<GgufArray>(found);
  if (list == nullptr || list->values.size() != list->size) return {};
  json types = json::array();
  for (const GgufScalar& value : list->values) {
    const bool* slides = std::get_if<bool>(&value);
    const auto* number = std::get_if<std::int64_t>(&value);
    if (slides == nullptr && number == nullptr) return {};
    types.push_back((slides != nullptr ? *slides : *number != 0) ? "sliding_attention" : "full_attention");
  }
  return {{"layer_types", types.dump()}};
}

ConfigTexts rope_scaling(const GgufInfo& file) {
  const std::string prefix = file.architecture() + ".rope.scaling.";
  const std::string type = file.text(prefix + "type").value_or("none");
  const auto factor = file.real(prefix + "factor");
  if ((type != "linear" && type != "yarn") || !factor) return {};
  json scaling = {{"rope_type", type}, {"factor", *factor}};
  if (const auto original = file.integer(prefix + "original_context_length"); original && type == "yarn") {
    scaling["original_max_position_embeddings"] = *original;
  }
  return {{"rope_scaling", scaling.dump()}};
}

void change_names(GgufLayout& layout, std::function<GgufTensors(const PretrainedConfig&)> more) {
  layout.tensors = [before = std::move(layout.tensors),
                    more = std::move(more)](const PretrainedConfig& config) {
    GgufTensors names = before(config);
    for (GgufTensor& tensor : more(config)) {
      std::erase_if(names, [&](const GgufTensor& old) { return old.name == tensor.name; });
      names.push_back(std::move(tensor));
    }
    return names;
  };
}

void add_config(GgufLayout& layout, std::function<ConfigTexts(const GgufInfo&)> more) {
  layout.more_config = [before = std::move(layout.more_config),
                        more = std::move(more)](const GgufInfo& file) {
    ConfigTexts texts = before ? before(file) : ConfigTexts();
    texts.merge(more(file));
    return texts;
  };
}

void add_keys(GgufLayout& layout, const std::vector<std::pair<std::string, std::string>>& keys) {
  layout.config_keys.insert(layout.config_keys.end(), keys.begin(), keys.end());
}

}  // namespace onnxport::models

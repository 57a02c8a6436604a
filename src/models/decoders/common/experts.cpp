#include "models/decoders/common/experts.h"

#include <fmt/format.h>

#include "models/decoders/common/hybrid.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

nn::ExpertWeights stacked_weights(const Scope& s, const nn::ExpertSizes& z) {
  const Scope input = s / "input_linear", output = s / "output_linear";
  if (!input.exists()) return nn::expert_weights(s / "experts", z);  // of a GGUF file
  nn::ExpertWeights weights;
  weights.gate = input.weight("weight", {z.experts, 2 * z.intermediate_size, z.hidden_size});
  weights.down = output.weight("weight", {z.experts, z.hidden_size, z.intermediate_size});
  return weights;
}

}  // namespace

std::int64_t interval_of(const PretrainedConfig& config, const char* key,
                         std::optional<std::int64_t> fallback) {
  const std::int64_t interval = config.integer(key, fallback);
  if (interval < 1)
    throw ExportError(ErrorCode::bad_config, fmt::format("{} is {}, expected at least 1", key, interval));
  return interval;
}

std::vector<bool> sparse_layers(const PretrainedConfig& config, std::int64_t layers,
                                const std::function<bool(std::int64_t)>& sparse) {
  std::vector<bool> all;
  if (!config.has("mlp_layer_types")) {
    for (std::int64_t i = 0; i < layers; ++i) all.push_back(sparse(i));
    return all;
  }
  config.harmless({"first_k_dense_replace", "moe_layer_freq"});  // the older spelling
  for (const std::string& type : kinds_of_layers(config, "mlp_layer_types")) {
    if (type != "dense" && type != "sparse") {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: mlp_layer_types names '{}', expected dense or "
                                    "sparse",
                                    config.origin(), type));
    }
    all.push_back(type == "sparse");
  }
  return all;
}

std::vector<bool> sparse_layers(const PretrainedConfig& config, std::int64_t layers) {
  return sparse_layers(config, layers,
                       [&](std::int64_t layer) { return layer >= config.integer("first_k_dense_replace"); });
}

nn::Routing softmax_routing(const PretrainedConfig& config) {
  const nn::Routing largest = nn::largest_scores(nn::softmax_scores, config.integer("num_experts_per_tok"));
  return config.flag("norm_topk_prob") ? nn::normalized(largest) : largest;
}

nn::GatedMlp mlp_of_width(const TextDecoderConfig& c, const Scope& s, std::int64_t width, bool bias) {
  return {
      s,
      {.hidden_size = c.hidden_size, .intermediate_size = width, .activation = c.hidden_act, .bias = bias}};
}

nn::SparseMixture stacked_mixture(const Scope& s, const PretrainedConfig& config,
                                  std::int64_t intermediate_size, const std::string& activation) {
  const std::int64_t hidden = config.integer("hidden_size"), experts = config.integer("num_local_experts");
  const nn::Routing routing =
      nn::scores_of_largest(config.integer("num_experts_per_tok"), nn::softmax_scores);
  return {s.path(), nn::Router(nn::Linear(s / "router" / "layer", hidden, experts, false), routing),
          nn::Experts(stacked_weights(s, {hidden, intermediate_size, experts}), activation)};
}

}  // namespace onnxport::models

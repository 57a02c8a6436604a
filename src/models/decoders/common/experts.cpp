#include "models/decoders/common/experts.h"

#include <fmt/format.h>

#include "onnxport/error.h"

namespace onnxport::models {

std::int64_t interval_of(const PretrainedConfig& config, const char* key,
                         std::optional<std::int64_t> fallback) {
  const std::int64_t interval = config.integer(key, fallback);
  if (interval < 1)
    throw ExportError(ErrorCode::bad_config, fmt::format("{} is {}, expected at least 1", key, interval));
  return interval;
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
  nn::ExpertWeights weights;
  weights.gate = (s / "input_linear").weight("weight", {experts, 2 * intermediate_size, hidden});
  weights.down = (s / "output_linear").weight("weight", {experts, hidden, intermediate_size});
  return {s.path(), nn::Router(nn::Linear(s / "router" / "layer", hidden, experts, false), routing),
          nn::Experts(std::move(weights), activation)};
}

}  // namespace onnxport::models

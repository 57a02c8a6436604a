// Cohere 2 with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/cohere2_moe/modeling_cohere2_moe.py
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// In files without layer_types, the dense layers at the beginning have a pattern of their own.
std::vector<std::string> types_of_layers(const PretrainedConfig& config, std::int64_t layers,
                                         std::int64_t dense) {
  const std::int64_t first = std::clamp<std::int64_t>(dense, 0, layers);
  const std::int64_t pattern = config.integer("sliding_window_pattern");
  std::vector<std::string> types =
      layer_types(config, first, config.integer("prefix_dense_sliding_window_pattern"));
  if (config.has("layer_types")) return types;
  for (std::string& type : layer_types(config, layers - first, pattern)) types.push_back(std::move(type));
  return types;
}

nn::Routing routing(const PretrainedConfig& config) {
  const std::int64_t k = config.integer("num_experts_per_tok");
  const std::string scores = config.string("expert_selection_fn");
  const bool normed = config.flag("norm_topk_prob");
  if (scores == "softmax") return nn::scores_of_largest(k, nn::softmax_scores);  // sums to one already
  if (scores != "sigmoid") {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("expert_selection_fn is '{}', expected softmax or sigmoid", scores));
  }
  const nn::Routing chosen = nn::scores_of_largest(k, op::sigmoid);
  return normed ? nn::normalized(chosen) : chosen;
}

nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const nn::ExpertSizes experts{c.hidden_size, c.intermediate_size, config.integer("num_experts")};
  nn::FeedForward routed = nn::SparseMixture(s, experts, routing(config), c.hidden_act);
  const std::int64_t shared = config.integer("num_shared_experts");
  const std::string strategy = config.string("shared_expert_combination_strategy");
  if (shared <= 0) return routed;
  nn::FeedForward sum =
      nn::sum_of(std::move(routed), mlp_of_width(c, s / "shared_experts", c.intermediate_size * shared));
  if (strategy == "sum") return sum;
  if (strategy == "average") return nn::scaled(std::move(sum), 0.5);
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("shared_expert_combination_strategy is '{}', expected sum or average", strategy));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const double eps = config.real("layer_norm_eps");
  if (!config.has("rms_norm_eps")) c.make_norm = layer_norms_without_bias(eps);
  c.logit_scale = config.real("logit_scale");
  c.rope.interleaved = true;
  const std::int64_t first = config.integer("first_k_dense_replace");
  const auto visible =
      layer_visibility(types_of_layers(config, c.num_hidden_layers, first), c.num_hidden_layers,
                       config.maybe_integer("sliding_window").value_or(0));
  const std::vector<bool> sparse =
      sparse_layers(config, c.num_hidden_layers, [first](std::int64_t layer) { return layer >= first; });
  const bool dense_turns = config.integer("prefix_dense_sliding_window_pattern") == 1;
  const std::int64_t dense_width =
      config.maybe_integer("prefix_dense_intermediate_size").value_or(c.intermediate_size);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i, visible.at(at));
    if (!visible.at(at).window && (!dense_turns || sparse.at(at))) attention.rotary.reset();
    const auto mlp = [&]() -> nn::FeedForward {
      if (!sparse.at(at)) return mlp_of_width(c, s / "mlp", dense_width);
      return mixture(s / "mlp", config, c);
    };
    return c.parallel_block(s, std::move(attention), mlp());
  });
}

}  // namespace

void register_cohere2_moe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "cohere2_moe",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models

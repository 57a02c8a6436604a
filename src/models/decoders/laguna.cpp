// Laguna. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/laguna/modeling_laguna.py
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/layers.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/nn/gated_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

nn::RopeParameters rope_of(const PretrainedConfig& config, std::int64_t head_dim, const char* layer_type) {
  const PretrainedConfig complete = with_usual_rope(config, R"({
    "full_attention": {"rope_theta": 500000.0, "partial_rotary_factor": 0.5},
    "sliding_attention": {"rope_theta": 10000.0}})");
  return rope_parameters(complete, head_dim, {.layer_type = layer_type, .partial_rotary_factor = 1});
}

struct Config : TextDecoderConfig {
  std::vector<std::int64_t> heads_of_layer;
  std::vector<nn::Visibility> visible;
  std::vector<bool> sparse;
  nn::RopeParameters local_rope;

  explicit Config(const PretrainedConfig& c)
      : TextDecoderConfig(c),
        visible(layer_visibility(c, num_hidden_layers, [](std::int64_t) { return true; })),
        sparse(sparse_layers(c, num_hidden_layers, [](std::int64_t layer) { return layer > 0; })),
        local_rope(rope_of(c, heads.head_dim, "sliding_attention")) {
    rope = rope_of(c, heads.head_dim, "full_attention");
    const auto layers = static_cast<std::size_t>(num_hidden_layers);
    heads_of_layer.assign(layers, heads.heads);
    if (c.has("num_attention_heads_per_layer")) heads_of_layer = c.integers("num_attention_heads_per_layer");
    if (heads_of_layer.size() != layers) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_attention_heads_per_layer lists {} layers, expected {}",
                                    c.origin(), heads_of_layer.size(), layers));
    }
    for (const std::int64_t count : heads_of_layer)
      check_multiple(c, "num_attention_heads_per_layer", count, "num_key_value_heads", heads.kv_heads);
    c.harmless({"gating"});  // for each head or for each element: the weight of the gate shows it
    if (c.flag("moe_apply_router_weight_on_input")) {
      throw ExportError(ErrorCode::unsupported,
                        "moe_apply_router_weight_on_input is true, which the original does not implement");
    }
  }

  /// The same with the number of heads that the layer has.
  Config of_layer(std::int64_t layer) const {
    Config same = *this;
    same.heads.heads = heads_of_layer.at(static_cast<std::size_t>(layer));
    return same;
  }
};

nn::Mixer attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::Visibility& visible = c.visible.at(static_cast<std::size_t>(layer));
  nn::CausalAttentionParts parts = c.normed_attention(s, layer, visible);
  if (visible.window) parts.rotary = nn::RotaryEmbedding("rotary_emb_local", c.local_rope);
  const Scope g = s / "g_proj";
  const bool per_head = g.shape_of("weight") == std::vector{c.heads.heads, c.hidden_size};
  const nn::Linear gate(g, c.hidden_size, per_head ? c.heads.heads : c.heads.heads * c.heads.head_dim, false);
  return nn::gated_attention(std::move(parts), [gate](Value x) {
    const Value wide = op::softplus(op::cast(gate(x), DType::f32));
    return op::cast(wide, x.dtype());
  });
}

nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const Config& c) {
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const double cap = config.real("moe_router_logit_softcapping");
  const auto scores = [cap](Value logits) {
    if (cap <= 0) return op::sigmoid(logits);
    return op::sigmoid(op::mul(op::tanh(op::div(logits, cap)), cap));
  };
  const nn::Scores preference =
      nn::plus_bias((s / "experts").weight("e_score_correction_bias", {experts.experts}));
  nn::Routing routing =
      nn::normalized(nn::preferred_scores(scores, preference, config.integer("num_experts_per_tok")));
  routing = nn::multiplied(std::move(routing), config.real("moe_routed_scaling_factor"));
  return nn::sum_of(mlp_of_width(c, s / "shared_expert", config.integer("shared_expert_intermediate_size")),
                    nn::SparseMixture(s, experts, routing, c.hidden_act));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto mlp = [&]() -> nn::FeedForward {
      if (!c.sparse.at(static_cast<std::size_t>(i))) return c.mlp(s / "mlp");
      return mixture(s / "mlp", config, c);
    };
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = attention(s / "self_attn", i, c.of_layer(i)),
                            .before_mlp = c.norm(s / "post_attention_layernorm"),
                            .mlp = mlp()};
  });
}

}  // namespace

void register_laguna(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"mlp.shared_expert.", "mlp.shared_experts."},
                 {"mlp.experts.e_score_correction_bias", "mlp.gate.e_score_correction_bias"}};
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "laguna", .tasks = nn::text_decoder_tasks({}), .forward = forward, .key_names = names});
}

}  // namespace onnxport::models

// LFM3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/lfm3/modeling_lfm3.py
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/lfm2.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/gated_attention.h"

namespace onnxport::models {
namespace {

std::string kind_of(const PretrainedConfig& c, std::int64_t layer) {
  if (c.has("layer_types")) {
    const auto kinds = kinds_of_layers(c, "layer_types", {"conv", "sliding_attention", "full_attention"});
    return kinds.at(static_cast<std::size_t>(layer));
  }
  if (layer % 4 == 2) return "full_attention";
  return layer % 4 == 0 && layer > 0 ? "sliding_attention" : "conv";
}

PretrainedConfig with_usual_keys(PretrainedConfig c) {
  c = lfm2_usual_keys(c);
  if (c.has("rope_parameters")) return c;
  return c.settled("rope_parameters",
                   R"({"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                       "full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0,
                                          "partial_rotary_factor": 0.5}})");
}

class Lfm3OnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = with_usual_keys(config().unaccounted());
    if (kind_of(c, layer) == "conv")
      return {fixed_state(layer, "conv", {c.integer("hidden_size"), c.integer("conv_L_cache")})};
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

nn::Mixer mixer(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                const PretrainedConfig& config, const Rotations& rotary) {
  const std::string kind = kind_of(config, layer);
  if (kind == "conv") return without_padding(lfm2_short_conv(s / "conv", layer, config));
  const Scope at = s / "self_attn";
  nn::Visibility visible;
  if (kind == "sliding_attention") visible.window = divisor(config, "sliding_window");
  nn::CausalAttentionParts attention = c.normed_attention(at, layer, visible);
  attention.rotary = rotary.at(kind);
  if (!config.flag("use_attention_gate")) return nn::CausalAttention(std::move(attention));
  const nn::Linear gate(at / "g_proj", c.hidden_size, c.heads.heads, false);
  return nn::gated_attention(std::move(attention), [gate](Value x) { return op::sigmoid(gate(x)); });
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_usual_keys(model.config());
  TextDecoderConfig c(config);
  c.last_norm = "embedding_norm";
  const Rotations rotary = rotations(config, c.heads.head_dim, {"sliding_attention", "full_attention"});
  const bool sandwich = config.flag("use_sandwich_norm");
  config.harmless({"sliding_window"});  // perhaps no layer slides
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) -> nn::Block {
    const nn::Norm before = c.norm(s / "operator_norm"), between = c.norm(s / "ffn_norm");
    const nn::GatedMlp mlp = lfm2_mlp(s / "feed_forward", c, c.intermediate_size);
    const nn::Mixer mixed = mixer(s, i, c, config, rotary);
    if (!sandwich) return nn::PreNormBlock{before, mixed, between, mlp};
    const nn::Norm after_mixer = c.norm(s / "post_operator_norm"), after_mlp = c.norm(s / "post_ffn_norm");
    return nn::SandwichBlock{before, mixed, after_mixer, between, mlp, after_mlp};
  });
}

}  // namespace

void register_lfm3(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"self_attn.g_proj", "self_attn.gate_proj"}};  // as published
  tasks.register_model<Lfm3OnnxConfig>(
      {.model_type = "lfm3", .tasks = nn::text_decoder_tasks({}), .forward = forward, .key_names = names});
}

}  // namespace onnxport::models

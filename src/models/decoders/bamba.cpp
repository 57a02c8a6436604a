// Bamba. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bamba/modeling_bamba.py
#include <algorithm>
#include <nlohmann/json.hpp>
#include <variant>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/mamba.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  if (!c.has("attn_layer_indices")) return false;
  const std::vector<std::int64_t> layers = c.integers("attn_layer_indices");
  return std::find(layers.begin(), layers.end(), layer) != layers.end();
}

class BambaOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    if (!attends(c, layer)) return mamba2_states(layer, mamba2_sizes(c));
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.last_norm = "final_layernorm";
  c.rope = rope_parameters(config, c.heads.head_dim,
                           {.partial_rotary_factor = config.real("partial_rotary_factor", 0.5)});
  const nn::Mamba2Sizes sizes = mamba2_sizes(config);
  const nn::Mamba2Options options = mamba2_options(config);
  const bool mlp_bias = config.flag("mlp_bias", false);
  config.harmless({"z_loss_coefficient", "num_logits_to_keep"});  // of training and of generation
  const auto mixer = [&](const Scope& s, std::int64_t i) -> nn::Mixer {
    if (!attends(config, i)) {
      nn::Mamba2Parts parts = nn::mamba2_parts(s / "mamba", i, sizes, options);
      parts.activation = c.hidden_act;
      return nn::Mamba2(std::move(parts));
    }
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i);
    if (config.transformers_major() < 5) attention.mask = same_kind_mask;
    return nn::CausalAttention(std::move(attention));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return pre_ff_block(c, s, mixer(s, i), c.mlp(s / "feed_forward", mlp_bias));
  });
}

ConfigTexts attentions(const GgufInfo& file) {
  ConfigTexts texts;
  auto layers = nlohmann::json::array();
  const std::vector<std::int64_t> heads = gguf_key_heads(file);
  for (std::size_t i = 0; i < heads.size(); ++i) {
    if (heads[i] == 0) continue;
    layers.push_back(i);
    texts["num_key_value_heads"] = std::to_string(heads[i]);
  }
  texts["attn_layer_indices"] = layers.dump();
  return texts;
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("granitehybrid", "BambaForCausalLM");
  layout.matches = is_gguf_bamba;
  turn_rows(layout);
  add_gguf_mamba2(layout);
  add_config(layout, attentions);
  add_config(layout, partial_rotary);
  add_names(layout, {{"output_norm", "model.final_layernorm"}});
  add_layer_names(layout, {{"ffn_norm", "pre_ff_layernorm"},
                           {"ffn_gate", "feed_forward.gate_proj"},
                           {"ffn_up", "feed_forward.up_proj"},
                           {"ffn_down", "feed_forward.down_proj"}});
  return layout;
}

}  // namespace

bool is_gguf_bamba(const GgufInfo& file) {
  const GgufValue* value = file.find("granitehybrid.rope.scaling.finetuned");
  const bool* turns = value == nullptr ? nullptr : std::get_if<bool>(value);
  return turns != nullptr && *turns;
}

void register_bamba(TasksManager& tasks) {
  tasks.register_model<BambaOnnxConfig>({.model_type = "bamba",
                                         .tasks = nn::text_decoder_tasks({}),
                                         .forward = forward,
                                         .key_names = tied("model.embed_tokens", "lm_head"),
                                         .gguf = gguf()});
}

}  // namespace onnxport::models

// Granite 4. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/granitemoehybrid/modeling_granitemoehybrid.py
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/granite.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/mamba.h"
#include "onnxport/error.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

// Transformers 5 has other names for the kinds of layers.
bool attends(const PretrainedConfig& c, std::int64_t layer) {
  if (!c.has("layer_types")) return false;
  const auto types =
      kinds_of_layers(c, "layer_types", {"attention", "mamba", "full_attention", "linear_attention"});
  const std::string& type = types.at(static_cast<std::size_t>(layer));
  return type == "attention" || type == "full_attention";
}

bool rotates(const PretrainedConfig& c) { return c.maybe_string("position_embedding_type") == "rope"; }

class GraniteMoeHybridOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  bool takes_positions() const override { return rotates(config().unaccounted()); }
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    if (!attends(c, layer)) return mamba2_states(layer, mamba2_sizes(c));
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

nn::Mixer mixer(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                const PretrainedConfig& config) {
  if (!attends(config, layer)) {
    nn::Mamba2Parts parts =
        nn::mamba2_parts(s / "mamba", layer, mamba2_sizes(config), mamba2_options(config));
    parts.activation = c.hidden_act;
    return nn::Mamba2(std::move(parts));
  }
  nn::CausalAttentionParts attention = c.attention(s / "self_attn", layer);
  attention.options.scale = config.real("attention_multiplier");
  if (!rotates(config)) attention.rotary.reset();
  return nn::CausalAttention(std::move(attention));
}

nn::FeedForward feed_forward(const Scope& s, const TextDecoderConfig& c, const PretrainedConfig& config) {
  nn::FeedForward shared = granite_shared_mlp(s / "shared_mlp", c.hidden_size,
                                              config.integer("shared_intermediate_size"), c.hidden_act);
  if (config.integer("num_local_experts") == 0) {
    config.harmless({"num_experts_per_tok"});
    return shared;
  }
  return nn::sum_of(stacked_mixture(s / "block_sparse_moe", config, c.intermediate_size, c.hidden_act),
                    shared);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c = granite_config(config);
  c.add_masks_in_version_4(config);
  const double factor = config.real("residual_multiplier");
  // Even where no layer is a state space, the class checks these.
  mamba2_sizes(config);
  mamba2_options(config);
  config.harmless({"router_aux_loss_coef"});  // of training
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = nn::scaled(mixer(s, i, c, config), factor),
                            .before_mlp = c.norm(s / "post_attention_layernorm"),
                            .mlp = nn::scaled(feed_forward(s, c, config), factor)};
  });
}

/// Layers without key heads are recurrent.
ConfigTexts kinds(const GgufInfo& file) {
  const bool turns = is_gguf_bamba(file);
  ConfigTexts texts = {{"position_embedding_type", turns ? R"("rope")" : R"("nope")"}};
  auto types = nlohmann::json::array();
  for (const std::int64_t heads : gguf_key_heads(file)) {
    types.push_back(heads > 0 ? "attention" : "mamba");
    if (heads > 0) texts["num_key_value_heads"] = std::to_string(heads);
  }
  texts["layer_types"] = types.dump();
  return texts;
}

GgufLayout gguf() {
  GgufLayout layout = gguf_granite_moe("GraniteMoeHybridForCausalLM", true);
  layout.architecture = "granitehybrid";
  layout.matches = [](const GgufInfo& file) { return !is_gguf_bamba(file); };
  add_gguf_mamba2(layout);
  add_config(layout, kinds);
  // Without experts, the one that all tokens pass has the usual names.
  add_layer_names(layout, {{"ffn_gate", "shared_mlp.gate_proj"},
                           {"ffn_up", "shared_mlp.up_proj"},
                           {"ffn_down", "shared_mlp.output_linear"}});
  return layout;
}

}  // namespace

void register_granitemoehybrid(TasksManager& tasks) {
  tasks.register_model<GraniteMoeHybridOnnxConfig>({.model_type = "granitemoehybrid",
                                                    .tasks = nn::text_decoder_tasks({}),
                                                    .forward = forward,
                                                    .key_names = tied("model.embed_tokens", "lm_head"),
                                                    .gguf = gguf()});
}

}  // namespace onnxport::models

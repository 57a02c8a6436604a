// EXAONE 4.0. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/exaone4/modeling_exaone4.py
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/exaone.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

// Of files without layer_types.
std::int64_t pattern(const PretrainedConfig& config) {
  return config.has("layer_types") ? 0 : config.integer("sliding_window_pattern");
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  c.attention_bias = false;  // no key of this class, though files may have it
  const LayerAttention attention = exaone_attention(model.config(), c);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.post_normed_block(s, attention(s / "self_attn", i), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("exaone4", "Exaone4ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"},
            {"blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"}};
  });
  add_config(layout, llama3_scaling);
  add_config(layout, sliding_layers);
  add_config(layout, [](const GgufInfo& file) -> ConfigTexts {
    if (const auto window = file.integer("exaone4.attention.sliding_window")) {
      return {{"sliding_window", std::to_string(*window)}};
    }
    const auto layers = static_cast<std::size_t>(file.integer("exaone4.block_count").value_or(0));
    return {{"sliding_window", "null"},
            {"layer_types", nlohmann::json(std::vector<std::string>(layers, "full_attention")).dump()}};
  });
  return layout;
}

}  // namespace

LayerAttention exaone_attention(const PretrainedConfig& config, const TextDecoderConfig& c) {
  const auto window = config.maybe_integer("sliding_window");
  if (config.has("layer_types")) config.harmless({"sliding_window_pattern"});  // in words, such as LLLG
  const auto types = layer_types(config, c.num_hidden_layers, pattern(config));
  const auto visible = onnxport::layer_visibility(types, c.num_hidden_layers, window.value_or(0));
  return [=](const Scope& s, std::int64_t layer) {
    const nn::Visibility& keys = visible.at(static_cast<std::size_t>(layer));
    nn::CausalAttentionParts attention = c.normed_attention(s, layer, keys);
    if (window && !keys.window) attention.rotary.reset();
    return attention;
  };
}

void register_exaone4(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "exaone4",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models

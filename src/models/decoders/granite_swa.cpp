// Granite with sliding windows. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/granite_swa/modeling_granite_swa.py
#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/granite.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c = granite_config(config);
  const bool mlp_bias = config.flag("mlp_bias");
  const LayerAttention attention = granite_swa_attention(c, config);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return granite_block(c, config, s, attention(s / "self_attn", i), c.mlp(s / "mlp", mlp_bias));
  });
}

/// The base of the rotation of each layer; 0: none.
std::vector<double> rope_thetas(const PretrainedConfig& config, const TextDecoderConfig& c) {
  const auto layers = static_cast<std::size_t>(c.num_hidden_layers);
  if (!config.has("layer_rope_theta")) return std::vector<double>(layers, c.rope.theta);
  std::vector<double> thetas = config.reals("layer_rope_theta");
  if (thetas.size() < layers) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("layer_rope_theta lists {} layers, expected {}", thetas.size(), layers));
  }
  for (const double theta : thetas) {
    if (!(theta >= 0))
      throw ExportError(ErrorCode::bad_config, fmt::format("layer_rope_theta lists {}", theta));
  }
  return thetas;
}

}  // namespace

LayerAttention granite_swa_attention(const TextDecoderConfig& c, const PretrainedConfig& config) {
  const auto visible =
      layer_visibility(config, c.num_hidden_layers, [](std::int64_t i) { return i % 4 == 0; });
  return [c, visible, thetas = rope_thetas(config, c)](const Scope& s, std::int64_t layer) {
    const auto at = static_cast<std::size_t>(layer);
    nn::CausalAttentionParts attention = c.attention(s, layer, visible.at(at));
    attention.sinks = s.weight("sinks", {c.heads.heads});
    nn::RopeParameters rope = c.rope;
    rope.theta = thetas.at(at);
    attention.rotary.reset();
    if (rope.theta != 0) attention.rotary = nn::RotaryEmbedding("rotary_emb", rope);
    return attention;
  };
}

void register_granite_swa(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "granite_swa",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models

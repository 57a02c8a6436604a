// The text model of North Micro Vision (Cohere Compass). Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/cohere_compass/modeling_cohere_compass.py
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/layers.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

using Rotations = std::map<std::string, nn::RotaryEmbedding>;

/// The rotation of each type of layer; a type without settings does not turn.
Rotations rotations(const PretrainedConfig& config, std::int64_t head_dim) {
  Rotations made;
  if (config.has("rope_parameters")) {
    const PretrainedConfig settings = config.sub("rope_parameters");
    settings.harmless({"rope_theta", "rope_type"});  // left over in published files
    for (const char* type : {"full_attention", "sliding_attention"}) {
      if (!settings.has(type)) continue;
      // Axes of images, which are equal for text.
      settings.sub(type).harmless({"mrope_section", "mrope_interleaved"});
      made.emplace(type, nn::RotaryEmbedding("rotary_emb", rope_parameters(config, head_dim, {type})));
    }
  }
  if (made.empty()) {
    throw ExportError(ErrorCode::bad_config,
                      "rope_parameters has no entry for full_attention or sliding_attention");
  }
  return made;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = layer_norms_without_bias(config.real("layer_norm_eps"));
  c.logit_scale = config.maybe_real("logit_scale").value_or(1);
  const Rotations turns = rotations(config, c.heads.head_dim);
  const auto visible = layer_visibility(config, c.num_hidden_layers, [](std::int64_t) { return true; });
  config.harmless({"pooling", "sliding_window_pattern"});  // of classification; unused by the original
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i, visible.at(i));
    attention.rotary.reset();
    const auto turn = turns.find(visible.at(i).window ? "sliding_attention" : "full_attention");
    if (turn != turns.end()) attention.rotary = turn->second;
    return c.parallel_block(s, std::move(attention), c.mlp(s / "mlp"));
  });
}

}  // namespace

void register_cohere_compass_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "cohere_compass_text",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models

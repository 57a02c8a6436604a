// Code World Model. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/cwm/modeling_cwm.py
#include "models/common/definition.h"
#include "models/decoders/common/layers.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr const char* kRope = R"({"rope_type": "llama3", "rope_theta": 1000000.0, "factor": 16.0,
    "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192})";

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_usual_rope(model.config(), kRope);
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  const bool mlp_bias = config.flag("mlp_bias");
  const auto visible =
      layer_visibility(config, c.num_hidden_layers, [](std::int64_t i) { return i % 4 == 0; });
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i, visible.at(i)), c.mlp(s / "mlp", mlp_bias));
  });
}

}  // namespace

void register_cwm(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "cwm",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models

// Granite with a mixture of experts and an expert that all tokens pass. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/granitemoeshared/modeling_granitemoeshared.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/granite.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c = granite_config(config);
  c.add_masks_in_version_4(config);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return granite_block(c, config, s, i, granite_moe_mlp(s, config, c));
  });
}

}  // namespace

nn::FeedForward granite_shared_mlp(const Scope& s, std::int64_t hidden_size, std::int64_t width,
                                   const std::string& activation) {
  return nn::GatedMlp(s, {.hidden_size = hidden_size,
                          .intermediate_size = width,
                          .activation = activation,
                          .down = "output_linear",
                          .gate_up = "input_linear"});
}

nn::FeedForward granite_moe_mlp(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const std::int64_t shared = config.integer("shared_intermediate_size");
  nn::FeedForward mixture =
      stacked_mixture(s / "block_sparse_moe", config, c.intermediate_size, c.hidden_act);
  if (shared == 0) return mixture;
  return nn::sum_of(std::move(mixture),
                    granite_shared_mlp(s / "shared_mlp", c.hidden_size, shared, c.hidden_act));
}

void register_granitemoeshared(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "granitemoeshared",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf_granite_moe("GraniteMoeSharedForCausalLM", true)});
}

}  // namespace onnxport::models

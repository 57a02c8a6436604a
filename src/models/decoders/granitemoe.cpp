// Granite with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/granitemoe/modeling_granitemoe.py
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
    return granite_block(c, config, s, i,
                         stacked_mixture(s / "block_sparse_moe", config, c.intermediate_size, c.hidden_act));
  });
}

}  // namespace

GgufLayout gguf_granite_moe(std::string original_class, bool shared) {
  GgufLayout layout = gguf_granite("granitemoe", std::move(original_class));
  add_keys(layout, {{"expert_count", "num_local_experts"}, {"expert_used_count", "num_experts_per_tok"}});
  if (shared) add_keys(layout, {{"expert_shared_feed_forward_length", "shared_intermediate_size"}});
  change_names(layout, [](const PretrainedConfig&) {
    GgufTensors names = gguf_experts("block_sparse_moe", "gate_proj", "up_proj", "down_proj");
    for (GgufTensor& one : gguf_shared_expert("shared_mlp")) names.push_back(std::move(one));
    names.push_back({"blk.{}.ffn_down_shexp", "model.layers.{}.shared_mlp.output_linear"});
    names.push_back({"blk.{}.ffn_gate_inp", "model.layers.{}.block_sparse_moe.router.layer"});
    return names;
  });
  layout.matches = [shared](const GgufInfo& file) {
    return file.has_tensor("blk.0.ffn_gate_shexp.weight") == shared;
  };
  return layout;
}

void register_granitemoe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "granitemoe",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf_granite_moe("GraniteMoeForCausalLM", false)});
}

}  // namespace onnxport::models

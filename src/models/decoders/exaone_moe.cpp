// K-EXAONE. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/exaone_moe/modeling_exaone_moe.py
#include <limits>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/exaone.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes experts{c.hidden_size, width, config.integer("num_experts")};
  const Weight bias = (s / "gate").weight("e_score_correction_bias", {experts.experts});
  const nn::Routing routing = deepseek_routing(config, bias, std::numeric_limits<float>::lowest());
  return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act),
                    mlp_of_width(c, s / "shared_experts", width * config.integer("num_shared_experts")));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  const LayerAttention attention = exaone_attention(config, c);
  const std::vector<bool> sparse = sparse_layers(config, c.num_hidden_layers);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto mlp = [&]() -> nn::FeedForward {
      if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s / "mlp");
      return mixture(s / "mlp", config, c);
    };
    return c.block(s, attention(s / "self_attn", i), mlp());
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("exaone-moe", "ExaoneMoeForCausalLM");
  add_deepseek_mixture(layout, "num_experts", "num_shared_experts");
  add_keys(layout, {{"attention.key_length", "head_dim"}, {"attention.sliding_window", "sliding_window"}});
  add_config(layout, sliding_layers);
  add_layer_names(layout, {{"exp_probs_b.bias", "mlp.e_score_correction_bias"}});
  return layout;
}

}  // namespace

void register_exaone_moe(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"mlp.gate.e_score_correction_bias", "mlp.e_score_correction_bias"}};  // as files have it
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>({.model_type = "exaone_moe",
                                                              .tasks = nn::text_decoder_tasks({}),
                                                              .forward = forward,
                                                              .ignorable_keys = {"mtp.*"},
                                                              .key_names = names,
                                                              .gguf = gguf()});
}

}  // namespace onnxport::models

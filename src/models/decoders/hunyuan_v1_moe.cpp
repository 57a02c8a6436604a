// HunYuan with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/hunyuan_v1_moe/modeling_hunyuan_v1_moe.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hunyuan.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// A number of each layer, or one for all.
std::int64_t of_layer(const PretrainedConfig& config, const char* key, std::int64_t layer) {
  const std::vector<std::int64_t> given = config.integers(key);
  const auto at = static_cast<std::size_t>(given.size() == 1 ? 0 : layer);
  if (at >= given.size()) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{} has {} numbers, expected one for each layer", key, given.size()));
  }
  return given[at];
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c = hunyuan_config(config);
  config.harmless({"eod_token_id"});
  const auto mixture = [&](const Scope& s, std::int64_t layer) {
    const nn::ExpertSizes sizes{c.hidden_size, c.intermediate_size, of_layer(config, "num_experts", layer)};
    const nn::Linear gate(s / "gate" / "wg", c.hidden_size, sizes.experts, false);
    const nn::Routing routing =
        nn::normalized(nn::largest_scores(nn::softmax_scores, of_layer(config, "moe_topk", layer)));
    return nn::SparseMixture(s.path(), nn::Router(gate, routing),
                             nn::Experts(nn::expert_weights(s / "experts", sizes), c.hidden_act));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope mlp = s / "mlp";
    return c.block(s, hunyuan_attention(c, s / "self_attn", i),
                   nn::sum_of(mixture(mlp, i), c.mlp(mlp / "shared_mlp")));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("hunyuan-moe", "HunYuanMoEV1ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"expert_count", "num_experts"},
                    {"expert_used_count", "moe_topk"}});
  change_names(layout, [](const PretrainedConfig&) {
    GgufTensors names = gguf_experts("mlp", "gate_proj", "up_proj", "down_proj");
    for (GgufTensor& one : gguf_shared_expert("mlp.shared_mlp")) names.push_back(std::move(one));
    names.push_back({"blk.{}.ffn_gate_inp", "model.layers.{}.mlp.gate.wg"});
    names.push_back({"blk.{}.attn_q_norm", "model.layers.{}.self_attn.query_layernorm"});
    names.push_back({"blk.{}.attn_k_norm", "model.layers.{}.self_attn.key_layernorm"});
    return names;
  });
  return layout;
}

}  // namespace

void register_hunyuan_v1_moe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "hunyuan_v1_moe",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models

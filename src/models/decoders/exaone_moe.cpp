// K-EXAONE. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/exaone_moe/modeling_exaone_moe.py
#include "models/common/definition.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/exaone.h"
#include "models/decoders/common/experts.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  const MakeAttention attention = exaone_attention(config, c);
  const std::vector<bool> sparse =
      sparse_layers(config, c.num_hidden_layers, config.integer("first_k_dense_replace"));
  const ExpertCounts counts{.routed = "num_experts", .shared = "num_shared_experts"};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto mlp = [&]() -> nn::FeedForward {
      if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s / "mlp");
      return deepseek_mixture(s / "mlp", config, c, counts);
    };
    return c.block(s, attention(s / "self_attn", i), mlp());
  });
}

}  // namespace

void register_exaone_moe(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"mlp.gate.e_score_correction_bias", "mlp.e_score_correction_bias"}};  // as files have it
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>({.model_type = "exaone_moe",
                                                              .tasks = nn::text_decoder_tasks({}),
                                                              .forward = forward,
                                                              .ignorable_keys = {"mtp.*"},
                                                              .key_names = names});
}

}  // namespace onnxport::models

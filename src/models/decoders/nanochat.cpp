// nanochat. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/nanochat/modeling_nanochat.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/norms.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Queries and keys that turn backwards, and are normalized then.
nn::CausalAttentionParts attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c) {
  nn::CausalAttentionParts parts = c.attention(s, layer);
  c.norm_heads(parts, s / "q_norm", s / "k_norm");
  parts.qkv = [before = parts.qkv, rotary = *parts.rotary, sizes = c.heads](Value x,
                                                                            const nn::DecoderPass& pass) {
    nn::QueryKeyValue now = before(x, pass);
    op::Rope rope = rotary(pass.position_ids());
    rope.frequencies = op::neg(rope.frequencies);
    now.query = nn::turned(now.query, rope, sizes.heads);
    now.key = nn::turned(now.key, rope, sizes.kv_heads);
    return now;
  };
  parts.rotary.reset();
  return parts;
}

nn::Block make_block(const Scope& s, std::int64_t layer, const TextDecoderConfig& c) {
  nn::Block block =
      c.block(s, attention(s / "self_attn", layer, c), c.plain_mlp(s / "mlp", false, "fc1", "fc2"));
  if (layer != 0) return block;
  // The embeddings are normalized too.
  return [block, norm = c.norm(s / "norm")](Value x, nn::DecoderPass& pass) {
    const Value first = norm(x);
    pass.give("hidden_states.0", first);
    return block(first, pass);
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = rms_norms_without_weight(c.norm_parameters.eps);
  c.final_softcap = config.maybe_real("final_logit_softcapping").value_or(0);
  return forward_text_decoder(inputs, model, component, c,
                              [&](const Scope& s, std::int64_t i) { return make_block(s, i, c); });
}

}  // namespace

void register_nanochat(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "nanochat",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models

// Ling 3, a hybrid. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/bailing_hybrid/modeling_bailing_hybrid.py
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/kimi.h"
#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

bool attends_to_all(const PretrainedConfig& c, std::int64_t layer) {
  if (!c.has("layer_types")) return (layer + 1) % divisor(c, "layer_group_size") == 0;
  c.harmless({"layer_group_size"});
  const auto types = kinds_of_layers(c, "layer_types", {"full_attention", "linear_attention"});
  return types.at(static_cast<std::size_t>(layer)) == "full_attention";
}

// In files that transformers saves, head_dim is that of the rotation.
nn::DeltaSizes sizes_of(const PretrainedConfig& c) {
  const auto size = [&](const char* saved, const char* published) {
    const auto given = c.maybe_integer(saved);
    return given ? *given : c.integer(published);
  };
  const std::int64_t heads = size("linear_num_heads", "num_attention_heads");
  const std::int64_t head_dim = size("linear_head_dim", "head_dim");
  return kimi_delta_sizes(c, heads, head_dim, size("linear_conv_kernel_dim", "short_conv_kernel_size"));
}

class BailingHybridOnnxConfig : public KimiHybridOnnxConfig {
 public:
  using KimiHybridOnnxConfig::KimiHybridOnnxConfig;

 protected:
  bool attends(const PretrainedConfig& c, std::int64_t layer) const override {
    return attends_to_all(c, layer);
  }
  nn::DeltaSizes sizes(const PretrainedConfig& c) const override { return sizes_of(c); }
};

// Where kda_safe_gate asks for it, decays are bounded by a sigmoid.
nn::Mixer delta_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                          const PretrainedConfig& config, const nn::DeltaSizes& z) {
  const nn::Linear forget(s / "f_proj", z.hidden_size, z.keys(), false);
  const Weight shift = s.weight("dt_bias", {z.keys()}).cast(DType::f32);
  const Weight rates = nn::decay_of(s.weight("A_log", {z.key_heads}));
  const bool safe = config.flag("kda_safe_gate");
  const double bound = config.real("kda_lower_bound");
  const auto decay = [=](Value x) {
    const Value step = forget(x);
    if (!safe) return nn::delta_decay(step, shift, rates);
    const Value by = x.graph().weight_as_is(shift);
    const Value shifted = op::add(op::cast(step, DType::f32), by);
    const Value apart = op::reshape(shifted, {x.dim(0), x.dim(1), z.key_heads, z.key_dim});
    const Value negative = op::mul(apart, x.graph().weight_as_is(rates.reshape({z.key_heads, 1})));
    const Value bounded = op::mul(op::sigmoid(op::neg(negative)), bound);
    return op::reshape(bounded, step.shape());
  };
  return kimi_delta_attention(s, layer, c, z, decay,
                              nn::Linear(s / "g_proj", z.hidden_size, z.values(), false));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  nn::LatentAttentionParameters latent = turning_latent_parameters(config, c, true);
  latent.query_rank.reset();  // no key of this class, though files may have it
  config.harmless({"num_mtp_layers", "mtp_loss_scaling_factor"});
  const nn::DeltaSizes sizes = sizes_of(config);
  const std::vector<bool> sparse = sparse_layers(config, c.num_hidden_layers);
  const auto mixer = [&](const Scope& s, std::int64_t i) -> nn::Mixer {
    if (!attends_to_all(config, i)) return delta_attention(s, i, c, config, sizes);
    nn::LatentAttentionParts parts = latent_parts(s, i, config, c, latent);
    const nn::Linear gate(s / "g_proj", c.hidden_size, latent.heads, false);
    parts.query = [gate, plain = parts.query](Value x, const nn::DecoderPass& pass) {
      nn::LatentQuery made = plain(x, pass);
      made.gate = gate(x);
      return made;
    };
    return nn::LatentAttention(std::move(parts));
  };
  const auto mlp = [&](const Scope& s, std::int64_t i) -> nn::FeedForward {
    if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s);
    return kimi_mixture(s, config, c);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const nn::Mixer mixed = mixer(s / "self_attn", i);
    return latent_block(c, s, mixed, mlp(s / "mlp", i));
  });
}

}  // namespace

void register_bailing_hybrid(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"model.embed_tokens", "model.word_embeddings"},
                 {"self_attn.o_proj", "attention.dense"},
                 {"self_attn.", "attention."},
                 {"e_score_correction_bias", "expert_bias"}};
  tasks.register_model<BailingHybridOnnxConfig>(
      {.model_type = "bailing_hybrid",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"model.layers.42.*"},  // they predict further tokens
       .key_names = names});
}

}  // namespace onnxport::models

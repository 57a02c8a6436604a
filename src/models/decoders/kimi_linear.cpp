// Kimi Linear. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/kimi_linear/modeling_kimi_linear.py
#include <algorithm>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/kimi.h"
#include "models/decoders/common/latent.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

// Published files list layers, counted from 1.
bool attends_to_all(const PretrainedConfig& c, std::int64_t layer) {
  const PretrainedConfig linear = c.sub("linear_attn_config");
  if (c.has("layer_types")) {
    linear.harmless({"full_attn_layers", "kda_layers"});
    const auto types = kinds_of_layers(c, "layer_types", {"full_attention", "linear_attention"});
    return types.at(static_cast<std::size_t>(layer)) == "full_attention";
  }
  if (!linear.has("full_attn_layers") || !linear.has("kda_layers")) return layer > 0 && layer % 4 == 0;
  const auto lists = [&](const char* key) {
    const std::vector<std::int64_t> layers = linear.integers(key);
    return std::find(layers.begin(), layers.end(), layer + 1) != layers.end();
  };
  if (lists("kda_layers")) return false;
  if (lists("full_attn_layers")) return true;
  throw ExportError(ErrorCode::bad_config, c.origin() + ": linear_attn_config does not list every layer");
}

nn::DeltaSizes sizes_of(const PretrainedConfig& c) {
  const PretrainedConfig linear = c.sub("linear_attn_config");
  // transformers 5 keeps the old keys, which still decide, beside its own.
  const auto size = [&](const char* of_linear, const char* usual) {
    const std::int64_t own = c.integer(usual);
    return linear.maybe_integer(of_linear).value_or(own);
  };
  const std::int64_t heads = size("num_heads", "linear_num_heads");
  const std::int64_t head_dim = size("head_dim", "linear_head_dim");
  return kimi_delta_sizes(c, heads, head_dim, size("short_conv_kernel_size", "linear_conv_kernel_dim"));
}

class KimiLinearOnnxConfig : public KimiHybridOnnxConfig {
 public:
  using KimiHybridOnnxConfig::KimiHybridOnnxConfig;

 protected:
  bool takes_positions() const override { return false; }
  bool attends(const PretrainedConfig& c, std::int64_t layer) const override {
    return attends_to_all(c, layer);
  }
  nn::DeltaSizes sizes(const PretrainedConfig& c) const override { return sizes_of(c); }
};

// Decays and gates come through vectors of the size of a head.
nn::Mixer delta_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                          const nn::DeltaSizes& z) {
  const auto thin = [&](const char* first, const char* second) {
    const nn::Linear down(s / first, z.hidden_size, z.key_dim, false),
        up(s / second, z.key_dim, z.keys(), false);
    return [=](Value x) { return up(down(x)); };
  };
  const Weight shift = s.weight("dt_bias", {z.keys()});
  const Weight rates = nn::decay_of(s.weight("A_log", {1, 1, z.key_heads, 1}).reshape({z.key_heads}));
  const auto decay = [=, forget = thin("f_a_proj", "f_b_proj")](Value x) {
    return nn::delta_decay(forget(x), shift, rates);
  };
  return kimi_delta_attention(s, layer, c, z, decay, thin("g_a_proj", "g_b_proj"));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  nn::LatentAttentionParameters latent = latent_attention_parameters(config, c);
  latent.rotate = [](Value x, std::int64_t, const nn::DecoderPass&) { return x; };  // it knows no positions
  config.harmless({"max_position_embeddings", "rope_theta", "rope_scaling"});
  const nn::DeltaSizes sizes = sizes_of(config);
  const std::vector<bool> sparse = sparse_layers(config, c.num_hidden_layers);
  const auto mixer = [&](const Scope& s, std::int64_t i) -> nn::Mixer {
    if (!attends_to_all(config, i)) return delta_attention(s, i, c, sizes);
    return nn::LatentAttention(latent_parts(s, i, config, c, latent));
  };
  const auto mlp = [&](const Scope& s, std::int64_t i) -> nn::FeedForward {
    if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s);
    return kimi_mixture(s, config, c, {.gate = "w1", .up = "w3", .down = "w2"});
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const nn::Mixer mixed = mixer(s / "self_attn", i);
    return latent_block(c, s, mixed, mlp(s / "mlp", i));
  });
}

}  // namespace

void register_kimi_linear(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"mlp.", "block_sparse_moe."}};  // as published
  tasks.register_model<KimiLinearOnnxConfig>({.model_type = "kimi_linear",
                                              .tasks = nn::text_decoder_tasks({}),
                                              .forward = forward,
                                              .key_names = names});
}

}  // namespace onnxport::models

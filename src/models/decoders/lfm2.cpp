// LFM2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/lfm2/modeling_lfm2.py
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/lfm2.h"
#include "onnxport/error.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

// Older files have other names for some keys.
PretrainedConfig with_usual_keys(PretrainedConfig c) {
  c = lfm2_usual_keys(c);
  if (const auto theta = c.maybe_real("theta")) c = c.settled("rope_theta", fmt::format("{}", *theta));
  if (const auto width = c.maybe_integer("block_ff_dim"))
    c = c.settled("intermediate_size", std::to_string(*width));
  return c;
}

std::int64_t feed_forward_width(const PretrainedConfig& c) {
  auto width = c.integer("intermediate_size");
  const bool adjusted = c.flag("block_auto_adjust_ff_dim");
  const auto multiplier = c.maybe_real("block_ffn_dim_multiplier");
  const std::int64_t step = c.integer("block_multiple_of");
  if (!adjusted) return width;
  if (step < 1)
    throw ExportError(ErrorCode::bad_config, c.origin() + ": block_multiple_of must be at least 1");
  width = static_cast<std::int64_t>(2 * static_cast<double>(width) / 3);
  if (!multiplier) return width;
  width = static_cast<std::int64_t>(*multiplier * static_cast<double>(width));
  return (width + step - 1) / step * step;
}

// Whether each layer is an attention; the others are convolutions.
std::vector<bool> attention_layers(const PretrainedConfig& c) {
  const std::int64_t layers = c.integer("num_hidden_layers");
  std::vector<bool> attends(static_cast<std::size_t>(layers), true);
  if (c.has("layer_types")) {
    c.harmless({"full_attn_idxs"});  // what layer_types was made of
    const std::vector<std::string> types = c.strings("layer_types");
    const bool known = std::all_of(types.begin(), types.end(), [](const std::string& type) {
      return type == "conv" || type == "full_attention";
    });
    if (!known || types.size() != attends.size()) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("layer_types must list {} layers, each conv or full_attention", layers));
    }
    std::transform(types.begin(), types.end(), attends.begin(),
                   [](const std::string& type) { return type == "full_attention"; });
  } else if (c.has("full_attn_idxs")) {
    const std::vector<std::int64_t> listed = c.integers("full_attn_idxs");
    for (std::int64_t i = 0; i < layers; ++i)
      attends[static_cast<std::size_t>(i)] = std::find(listed.begin(), listed.end(), i) != listed.end();
  }
  return attends;
}

class Lfm2OnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = with_usual_keys(config().unaccounted());
    if (!attention_layers(c).at(static_cast<std::size_t>(layer)))
      return {fixed_state(layer, "conv", {c.integer("hidden_size"), c.integer("conv_L_cache")})};
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_usual_keys(model.config());
  TextDecoderConfig c(config);
  c.last_norm = "embedding_norm";
  const std::vector<bool> attends = attention_layers(config);
  const std::int64_t width = feed_forward_width(config);
  // Version 5 keeps padding out of convolutions.
  const bool older = config.transformers_major() < 5;
  const auto mixer = [&](const Scope& s, std::int64_t i) -> nn::Mixer {
    if (attends.at(static_cast<std::size_t>(i))) return lfm2_attention(s / "self_attn", i, c);
    const nn::Mixer conv = lfm2_short_conv(s / "conv", i, config);
    return older ? conv : without_padding(conv);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = c.norm(s / "operator_norm"),
                            .attention = mixer(s, i),
                            .before_mlp = c.norm(s / "ffn_norm"),
                            .mlp = lfm2_mlp(s / "feed_forward", c, width)};
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("lfm2", "Lfm2ForCausalLM");
  add_keys(layout, {{"attention.layer_norm_rms_epsilon", "norm_eps"}, {"shortconv.l_cache", "conv_L_cache"}});
  add_config(layout, [](const GgufInfo& file) {
    // Convolutions have no key heads. The width of feed-forwards is the adjusted one.
    ConfigTexts texts = {{"block_auto_adjust_ff_dim", "false"}};
    std::int64_t most = 0;
    auto types = nlohmann::json::array();
    for (const std::int64_t count : gguf_key_heads(file)) {
      most = std::max(most, count);
      types.push_back(count > 0 ? "full_attention" : "conv");
    }
    if (types.empty()) return texts;
    texts["num_key_value_heads"] = std::to_string(most);
    texts["layer_types"] = types.dump();
    return texts;
  });
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    const std::string layer = "model.layers.{}.";
    return {{"token_embd_norm", "model.embedding_norm"},
            {"output_norm", "model.embedding_norm"},
            {"blk.{}.attn_norm", layer + "operator_norm"},
            {"blk.{}.attn_q_norm", layer + "self_attn.q_layernorm"},
            {"blk.{}.attn_k_norm", layer + "self_attn.k_layernorm"},
            {"blk.{}.attn_output", layer + "self_attn.out_proj"},
            {"blk.{}.shortconv.conv", layer + "conv.conv", gguf_conv1d},
            {"blk.{}.shortconv.in_proj", layer + "conv.in_proj"},
            {"blk.{}.shortconv.out_proj", layer + "conv.out_proj"},
            {"blk.{}.ffn_norm", layer + "ffn_norm"},
            {"blk.{}.ffn_gate", layer + "feed_forward.w1"},
            {"blk.{}.ffn_up", layer + "feed_forward.w3"},
            {"blk.{}.ffn_down", layer + "feed_forward.w2"}};
  });
  return layout;
}

}  // namespace

PretrainedConfig lfm2_usual_keys(PretrainedConfig c) {
  c = c.settled("rms_norm_eps", fmt::format("{}", c.real("norm_eps")));
  if (c.has("tie_embedding"))
    c = c.settled("tie_word_embeddings", c.flag("tie_embedding") ? "true" : "false");
  return c;
}

nn::Mixer lfm2_short_conv(const Scope& s, std::int64_t layer, const PretrainedConfig& c) {
  const std::int64_t width = c.integer("hidden_size");
  const bool bias = c.flag("conv_bias");
  const nn::Linear in_proj(s / "in_proj", width, 3 * width, bias),
      out_proj(s / "out_proj", width, width, bias);
  const nn::CausalConv conv(s / "conv", width, c.integer("conv_L_cache"), bias);
  return [=, path = s.path()](Value x, nn::DecoderPass& pass) {
    const ModulePath at(x, path);
    const std::vector<Value> parts = op::chunk(in_proj(x), -1, 3);
    const Value convolved = conv(op::mul(parts[0], parts[2]), pass, layer);
    return out_proj(op::mul(parts[1], convolved));
  };
}

nn::Mixer lfm2_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c) {
  nn::CausalAttentionParts attention =
      c.attention(s, layer, {}, nn::QkvProjection::separate(s, c.heads, false), "out_proj");
  c.norm_heads(attention, s / "q_layernorm", s / "k_layernorm");
  return nn::CausalAttention(std::move(attention));
}

nn::GatedMlp lfm2_mlp(const Scope& s, const TextDecoderConfig& c, std::int64_t width) {
  return {s,
          {.hidden_size = c.hidden_size, .intermediate_size = width, .gate = "w1", .up = "w3", .down = "w2"}};
}

void register_lfm2(TasksManager& tasks) {
  tasks.register_model<Lfm2OnnxConfig>({.model_type = "lfm2",
                                        .tasks = nn::text_decoder_tasks({}),
                                        .forward = forward,
                                        .key_names = tied("model.embed_tokens", "lm_head"),
                                        .gguf = gguf()});
}

}  // namespace onnxport::models

// MiMo V2 Flash. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/mimo_v2_flash/modeling_mimo_v2_flash.py
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "models/common/definition.h"
#include "models/common/gguf_part.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/layers.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Published files leave the factor of the mixture empty.
PretrainedConfig with_factor(const PretrainedConfig& config) {
  if (config.maybe_real("routed_scaling_factor")) return config;
  return config.settled("routed_scaling_factor", "1.0");
}

struct Config : TextDecoderConfig {
  std::vector<nn::Visibility> visible;
  nn::RopeParameters local_rope;
  std::int64_t value_dim;
  double value_scale;

  explicit Config(const PretrainedConfig& c)
      : TextDecoderConfig(c),
        visible(visibility(c, num_hidden_layers)),
        local_rope(rope_parameters(c, heads.head_dim, rope_keys("sliding_attention", 10000))),
        value_dim(c.integer("v_head_dim")),
        value_scale(c.real("attention_value_scale", 1.0)) {
    rope = rope_parameters(c, heads.head_dim, rope_keys("full_attention", 5000000));
    check_multiple(c, "num_attention_heads", heads.heads, "twice num_key_value_heads", 2 * heads.kv_heads);
  }

  /// Layers that slide have twice as many key heads.
  nn::HeadSizes heads_of(std::int64_t layer) const {
    nn::HeadSizes sizes = heads;
    if (visible.at(static_cast<std::size_t>(layer)).window) sizes.kv_heads *= 2;
    return sizes;
  }

 private:
  static RopeKeys rope_keys(const char* layer_type, double theta) {
    return {.layer_type = layer_type, .theta = theta, .partial_rotary_factor = 0.334};
  }
  /// Published files count the positions before a query's own. Without a list, the first layer and every
  /// sixth see all keys.
  static std::vector<nn::Visibility> visibility(const PretrainedConfig& c, std::int64_t layers) {
    const auto before = c.maybe_integer("sliding_window_size");
    return layer_visibility(before ? c.settled("sliding_window", std::to_string(*before + 1)) : c, layers,
                            [](std::int64_t layer) { return layer == 0 || (layer + 1) % 6 == 0; });
  }
};

class MimoV2FlashOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    std::vector<StateSpec> all;
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      for (StateSpec& state : key_value(i, c.heads_of(i).kv_heads, c.heads.head_dim, c.value_dim))
        all.push_back(std::move(state));
    }
    return all;
  }
};

nn::CausalAttentionParts attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes z = c.heads_of(layer);
  const nn::Visibility& visible = c.visible.at(static_cast<std::size_t>(layer));
  const nn::Linear query(s / "q_proj", z.hidden_size, z.heads * z.head_dim, c.attention_bias);
  const nn::Linear key(s / "k_proj", z.hidden_size, z.kv_heads * z.head_dim, c.attention_bias);
  const nn::Linear value(s / "v_proj", z.hidden_size, z.kv_heads * c.value_dim, c.attention_bias);
  const auto qkv = [=, scale = c.value_scale](Value x, const nn::DecoderPass&) -> nn::QueryKeyValue {
    const Value queries = query(x), keys = key(x);
    return {queries, keys, op::mul(value(x), scale)};
  };
  nn::CausalAttentionParts parts{
      .path = s.path(),
      .layer = layer,
      .sizes = z,
      .qkv = qkv,
      .output = nn::Linear(s / "o_proj", z.heads * c.value_dim, z.hidden_size, false),
      .mask = nn::sees(visible, op::NoKeys::uniform),
      .rotary = nn::RotaryEmbedding("rotary_emb", c.rope)};
  if (!visible.window) return parts;
  parts.rotary = nn::RotaryEmbedding("rotary_emb_local", c.local_rope);
  parts.sinks = s.weight("attention_sink_bias", {z.heads});
  return parts;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_factor(model.config());
  const Config c(config);
  const std::vector<bool> sparse =
      sparse_layers(config, c.num_hidden_layers, [](std::int64_t layer) { return layer > 0; });
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("n_routed_experts")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope mlp = s / "mlp";
    const auto feed_forward = [&]() -> nn::FeedForward {
      if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(mlp);
      const Weight bias = (mlp / "gate").weight("e_score_correction_bias", {experts.experts});
      const nn::Routing routing = deepseek_routing(config, bias, std::numeric_limits<float>::lowest());
      return nn::SparseMixture(mlp, experts, routing, c.hidden_act);
    };
    return c.block(s, attention(s / "self_attn", i, c), feed_forward());
  });
}

/// The values that the file has for each layer; its lists go on for those that predict further tokens. Layers
/// that slide have twice as many key heads.
ConfigTexts settings_of_layers(const GgufInfo& file) {
  ConfigTexts texts = sliding_layers(file);
  const std::int64_t all = file.integer("mimo2.block_count").value_or(0);
  if (texts.empty() || all < 0 || all > static_cast<std::int64_t>(file.tensors.size())) return {};
  const std::int64_t behind = file.integer("mimo2.nextn_predict_layers").value_or(0);
  const auto layers = static_cast<std::size_t>(all - std::clamp<std::int64_t>(behind, 0, all));
  auto types = nlohmann::json::parse(texts.at("layer_types")), mlps = nlohmann::json::array();
  while (types.size() > layers) types.erase(types.size() - 1);
  for (std::size_t i = 0; i < layers; ++i)
    mlps.push_back(file.has_tensor(fmt::format("blk.{}.ffn_gate_inp.weight", i)) ? "sparse" : "dense");
  texts["layer_types"] = types.dump();
  texts["mlp_layer_types"] = mlps.dump();
  const std::vector<std::int64_t> key_heads = gguf_key_heads(file);
  if (!key_heads.empty())
    texts["num_key_value_heads"] = std::to_string(*std::min_element(key_heads.begin(), key_heads.end()));
  return texts;
}

/// The turning part of a head is written as a number of elements.
ConfigTexts rotations(const GgufInfo& file) {
  nlohmann::json part = {{"rope_type", "default"}};
  for (const auto& [key, value] : partial_rotary(file)) part[key] = nlohmann::json::parse(value);
  nlohmann::json all;
  for (const auto& [type, stored] :
       {std::pair("full_attention", "rope.freq_base"), {"sliding_attention", "rope.freq_base_swa"}}) {
    all[type] = part;
    all[type].update(numbers_of(file, {{"rope_theta", stored}}));
  }
  return {{"rope_parameters", all.dump()}};
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("mimo2", "MiMoV2FlashForCausalLM");
  std::erase_if(layout.config_keys, [](const auto& key) { return key.second == "rope_theta"; });
  add_deepseek_mixture(layout);
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"attention.value_length", "v_head_dim"},
                    {"attention.value_scale", "attention_value_scale"},
                    {"attention.sliding_window", "sliding_window"}});
  add_layer_names(layout, {{"attn_sinks.weight", "self_attn.attention_sink_bias"}});
  add_config(layout, settings_of_layers);
  add_config(layout, rotations);
  return layout;
}

}  // namespace

void register_mimo_v2_flash(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"self_attn.attention_sink_bias", "self_attn.sinks"}};
  tasks.register_model<MimoV2FlashOnnxConfig>({.model_type = "mimo_v2_flash",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .ignorable_keys = {"model.mtp.*"},
                                               .key_names = names,
                                               .gguf = gguf()});
}

}  // namespace onnxport::models

// The text model of Llama 4. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/llama4/modeling_llama4.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/position_scale.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

std::vector<std::int64_t> listed(const PretrainedConfig& config, const char* key) {
  return config.has(key) ? config.integers(key) : std::vector<std::int64_t>();
}

struct Config : TextDecoderConfig {
  std::int64_t dense_width, floor_scale;
  double attn_scale;
  bool normed, tuned;
  std::vector<bool> turns, sparse, chunked;  // of each layer
  std::int64_t chunk;

  explicit Config(const PretrainedConfig& c)
      : TextDecoderConfig(c),
        dense_width(c.integer("intermediate_size_mlp")),
        floor_scale(c.integer("floor_scale")),
        attn_scale(c.real("attn_scale")),
        normed(c.flag("use_qk_norm")),
        tuned(c.flag("attn_temperature_tuning")),
        chunk(interval_of(c, "attention_chunk_size")) {
    attention_bias = false;
    rope.interleaved = true;
    const std::vector<std::int64_t> with_rope = listed(c, "no_rope_layers");  // 1 where there is one
    const std::int64_t interval = interval_of(c, "no_rope_layer_interval", 4);
    const std::vector<std::int64_t> mixtures = listed(c, "moe_layers");
    const bool names_mixtures = c.has("moe_layers");
    if (names_mixtures) c.harmless({"interleave_moe_layer_step"});
    const std::int64_t step = names_mixtures ? 1 : interval_of(c, "interleave_moe_layer_step");
    std::vector<std::string> types;
    if (c.has("layer_types")) types = c.strings("layer_types");
    check_number(c, "layer_types", types.size());
    check_number(c, "no_rope_layers", with_rope.size());
    for (std::int64_t i = 0; i < num_hidden_layers; ++i) {
      const auto at = static_cast<std::size_t>(i);
      turns.push_back(with_rope.empty() ? (i + 1) % interval != 0 : with_rope[at] != 0);
      chunked.push_back(types.empty() ? turns.back() : is_chunked(types[at]));
      sparse.push_back(names_mixtures ? std::find(mixtures.begin(), mixtures.end(), i) != mixtures.end()
                                      : (i + 1) % step == 0);
    }
    if (std::find(sparse.begin(), sparse.end(), true) == sparse.end())
      c.harmless({"num_experts_per_tok", "num_local_experts"});
  }

 private:
  void check_number(const PretrainedConfig& c, const char* key, std::size_t listed) const {
    if (listed == 0 || static_cast<std::int64_t>(listed) == num_hidden_layers) return;
    throw ExportError(ErrorCode::bad_config, fmt::format("{} of {} lists {} layers, expected {}", key,
                                                         c.origin(), listed, num_hidden_layers));
  }
  static bool is_chunked(const std::string& type) {
    if (type == "chunked_attention" || type == "full_attention") return type == "chunked_attention";
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("layer_types names '{}', expected full_attention or chunked_attention", type));
  }
};

/// Keys of the same chunk, which are counted from the first real token of a row.
nn::LayerMask same_chunk(std::int64_t size, op::NoKeys no_keys) {
  return [=](const nn::DecoderPass& pass) {
    op::AttentionMask mask = pass.mask({}, no_keys);
    const ModulePath at(pass.graph(), "attention_mask");
    const Value before = op::eq(op::cumsum(mask.padding, 1), 0.0);
    const Value start = op::sum(op::cast(before, DType::i64), 1, true);  // [B, 1]
    const auto chunk = [&](Value positions) { return op::div(op::sub(positions, start), size); };
    const Value keys = chunk(op::unsqueeze(op::arange(pass.graph(), pass.total_length()), 0));
    const Value queries =
        chunk(op::unsqueeze(op::arange(pass.graph(), pass.length(), pass.past_length()), 0));
    const Value columns = op::unsqueeze(keys, 1);
    mask.visible = op::unsqueeze(op::eq(op::unsqueeze(queries, 2), columns), 1);
    return mask;
  };
}

nn::CausalAttentionParts attention(const Scope& s, std::int64_t layer, const Config& c) {
  const auto at = static_cast<std::size_t>(layer);
  nn::CausalAttentionParts parts = c.attention(s, layer);
  if (c.chunked[at]) parts.mask = same_chunk(c.chunk, c.no_keys);
  if (c.turns[at]) {
    parts.norm_place = nn::NormPlace::after_rotation;
    if (!c.normed) return parts;
    const auto norm = [eps = c.norm_parameters.eps](Value x) { return op::rms_norm(x, {}, eps); };
    parts.query_norm = nn::per_head(norm, c.heads.head_dim);
    parts.key_norm = parts.query_norm;
    return parts;
  }
  parts.rotary = {};
  if (!c.tuned) return parts;
  parts.qkv = [before = parts.qkv, c](Value x, const nn::DecoderPass& pass) {
    nn::QueryKeyValue now = before(x, pass);
    // Their place in the cache counts, from 1.
    const Value place = op::arange(pass.graph(), pass.length(), pass.past_length() + 1);
    now.query = nn::scaled_by_position(now.query, place, {c.attn_scale, c.floor_scale});
    return now;
  };
  return parts;
}

/// As from a window, a prefill returns no keys that later tokens cannot see.
nn::Mixer cropped_attention(const Scope& s, std::int64_t layer, const Config& c) {
  nn::CausalAttention whole(attention(s, layer, c));
  if (!c.chunked[static_cast<std::size_t>(layer)] || c.chunk < 2) return whole;
  return [=, count = c.chunk - 1](Value x, nn::DecoderPass& pass) {
    const Value result = whole(x, pass);
    if (!pass.has_past()) pass.crop(layer, count);
    return result;
  };
}

/// A mixture that multiplies the inputs of experts by the router's scores, not their results.
nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const Config& c) {
  const nn::ExpertSizes z{c.hidden_size, c.intermediate_size, config.integer("num_local_experts")};
  const std::int64_t k = config.integer("num_experts_per_tok");
  const nn::Router router(nn::Linear(s / "router", z.hidden_size, z.experts, false),
                          nn::scores_of_largest(k, op::sigmoid));
  const Scope all = s / "experts";
  nn::ExpertWeights weights;
  if ((all / "gate_proj").exists()) {  // of a GGUF file
    weights = nn::expert_weights(all, z);
  } else {
    weights.gate =
        all.weight("gate_up_proj", {z.experts, z.hidden_size, 2 * z.intermediate_size}).permute({0, 2, 1});
    weights.down =
        all.weight("down_proj", {z.experts, z.intermediate_size, z.hidden_size}).permute({0, 2, 1});
  }
  const nn::Experts experts(weights, c.hidden_act);
  return [=, path = s.path()](Value x) {
    const ModulePath at(x, path);
    const Value tokens = op::flatten(x, 0, 1);
    const nn::Routes routes = router(tokens);
    // A row for each token and expert, so that experts with different inputs are one mixture.
    const Value scores = op::unsqueeze(op::cast(routes.values, x.dtype()), 2);
    const Value scaled = op::mul(op::unsqueeze(tokens, 1), scores);  // [N, k, H]
    const Value indices = op::reshape(routes.indices, {tokens.dim(0) * k, 1});
    const Value routing = op::cast(op::eq(indices, op::arange(x.graph(), z.experts)), x.dtype());
    const Value made = experts(op::flatten(scaled, 0, 1), routing);
    return op::reshape(op::sum(op::reshape(made, scaled.shape()), 1), x.shape());
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (!c.sparse[static_cast<std::size_t>(layer)]) return mlp_of_width(c, s, c.dense_width);
    return nn::sum_of(mixture(s, config, c), c.mlp(s / "shared_expert"));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = cropped_attention(s / "self_attn", i, c),
                            .before_mlp = c.norm(s / "post_attention_layernorm"),
                            .mlp = mlp(s / "feed_forward", i)};
  });
}

/// The model with 128 experts does not normalize queries and keys; llama.cpp knows it by this number.
ConfigTexts widths(const GgufInfo& file) {
  ConfigTexts texts = {{"use_qk_norm", file.integer("llama4.expert_count") == 128 ? "false" : "true"}};
  for (const auto& [stored, key] : {std::pair("feed_forward_length", "intermediate_size_mlp"),
                                    {"expert_feed_forward_length", "intermediate_size"}}) {
    if (const auto width = file.integer(fmt::format("llama4.{}", stored)))
      texts[key] = std::to_string(*width);
  }
  return texts;
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("llama4", "Llama4ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"expert_count", "num_local_experts"},
                    {"expert_used_count", "num_experts_per_tok"},
                    {"interleave_moe_layer_step", "interleave_moe_layer_step"}});
  add_config(layout, llama3_scaling);
  add_config(layout, widths);
  add_names(layout, gguf_experts("feed_forward", "gate_proj", "up_proj", "down_proj"));
  add_names(layout, gguf_shared_expert("feed_forward.shared_expert"));
  add_layer_names(layout, {{"ffn_gate_inp", "feed_forward.router"},
                           {"ffn_gate", "feed_forward.gate_proj"},
                           {"ffn_up", "feed_forward.up_proj"},
                           {"ffn_down", "feed_forward.down_proj"}});
  return layout;
}

}  // namespace

void register_llama4_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "llama4_text",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models

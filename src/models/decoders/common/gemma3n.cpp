#include "models/decoders/common/gemma3n.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "models/decoders/common/gemma.h"
#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

/// The config with a number where it has a list, whose elements Config reads itself.
PretrainedConfig with_one_width(const PretrainedConfig& c) {
  const std::vector<std::int64_t> widths = c.integers("intermediate_size");
  if (widths.empty()) throw ExportError(ErrorCode::bad_config, "intermediate_size is an empty list");
  return c.settled("intermediate_size", std::to_string(widths[0]));
}

/// Of the normal distribution: the x that a part p of it lies below.
double quantile(double p) {
  double x = 0;
  for (int i = 0; i < 100; ++i) {
    const double below = 0.5 * std::erfc(-x / std::numbers::sqrt2);
    const double density = std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    x -= std::clamp((below - p) / density, -0.5, 0.5);
  }
  return x;
}

}  // namespace

Gemma3nConfig::Gemma3nConfig(const PretrainedConfig& c)
    : TextDecoderConfig(gemma2_config(with_one_width(c))),
      widths(c.integers("intermediate_size")),
      local_rope(sliding_rope_parameters(c, heads.head_dim, c.real("rope_local_base_freq"))),
      streams(c.integer("altup_num_inputs")),
      active(c.integer("altup_active_idx")),
      layer_width(c.integer("hidden_size_per_layer_input")),
      layer_vocab(c.integer("vocab_size_per_layer_input")),
      shared_layers(c.integer("num_kv_shared_layers")),
      laurel_rank(c.integer("laurel_rank")),
      clip(c.maybe_real("altup_coef_clip")),
      scales_active(c.flag("altup_correct_scale")) {
  norm_parameters.offset = 0;
  const auto layers = static_cast<std::size_t>(num_hidden_layers);
  if (widths.size() == 1) widths.assign(layers, widths[0]);
  if (c.has("activation_sparsity_pattern")) {
    sparsity = c.reals("activation_sparsity_pattern");
  } else {
    sparsity.assign(layers, 0);
    for (std::size_t i = 0; layers > 10 && i < 10; ++i) sparsity[i] = 0.95;
  }
  if (widths.size() != layers || sparsity.size() != layers) {
    throw ExportError(ErrorCode::bad_config,
                      "intermediate_size and activation_sparsity_pattern need a number for each layer");
  }
  visible =
      layer_visibility(layer_types(c, num_hidden_layers, 5), num_hidden_layers, c.integer("sliding_window"));
}

std::int64_t Gemma3nConfig::first_shared() const {
  const std::int64_t first = num_hidden_layers - shared_layers;
  return first > 0 ? first : num_hidden_layers;
}

SharedKeyAttention gemma3n_attention(const Scope& s, std::int64_t layer, const Gemma3nConfig& c) {
  const nn::HeadSizes& z = c.heads;
  const nn::Visibility& visible = c.visible.at(static_cast<std::size_t>(layer));
  const auto source = source_of_keys(c.visible, c.first_shared(), layer);
  const nn::Linear query(s / "q_proj", z.hidden_size, z.heads * z.head_dim, c.attention_bias);
  const auto only_query = [query](Value x, const nn::DecoderPass&) -> nn::QueryKeyValue {
    return {query(x), {}, {}};
  };
  nn::CausalAttentionParts parts =
      source ? c.attention(s, layer, visible, only_query) : c.normed_attention(s, layer, visible);
  parts.options.scale = 1;
  if (visible.window) parts.rotary = nn::RotaryEmbedding("rotary_emb_local", c.local_rope);
  if (source) {
    // Files of transformers 4 have them.
    for (const char* unused : {"k_proj", "v_proj", "k_norm"}) s.ignore(unused);
    parts.query_norm = nn::per_head(c.norm(s / "q_norm", z.head_dim), z.head_dim);
    return {std::move(parts), visible, source};
  }
  const auto norm =
      nn::per_head([eps = c.norm_parameters.eps](Value x) { return op::rms_norm(x, {}, eps); }, z.head_dim);
  parts.qkv = [=, all = parts.qkv](Value x, const nn::DecoderPass& pass) -> nn::QueryKeyValue {
    nn::QueryKeyValue now = all(x, pass);
    now.value = norm(now.value);
    return now;
  };
  return {std::move(parts), visible, source};
}

Gemma3nMlp::Gemma3nMlp(const Scope& s, std::int64_t layer, const Gemma3nConfig& c)
    : path_(s.path()),
      width_(c.widths.at(static_cast<std::size_t>(layer))),
      gate_(s / "gate_proj", c.hidden_size, width_, false),
      up_(s / "up_proj", c.hidden_size, width_, false),
      down_(s / "down_proj", width_, c.hidden_size, false),
      activation_(c.hidden_act),
      sparsity_(c.sparsity.at(static_cast<std::size_t>(layer))) {}

Value Gemma3nMlp::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value gate = activation_(cut(gate_(x)));
  return down_(op::mul(gate, up_(x)));
}

Value Gemma3nMlp::cut(Value gate) const {
  if (sparsity_ <= 0) return gate;
  const Value centre = op::mean(gate, -1, true);
  const Value apart = op::sub(gate, centre);
  const Value deviation = op::sqrt(op::mean(op::mul(apart, apart), -1, true));
  return op::relu(op::sub(apart, op::mul(deviation, quantile(sparsity_))));
}

}  // namespace onnxport::models

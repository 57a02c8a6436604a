#include "models/decoders/common/gemma3n.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

std::optional<std::int64_t> Gemma3nConfig::source_of(std::int64_t layer) const {
  if (layer < first_shared()) return {};
  const bool slides = visible.at(static_cast<std::size_t>(layer)).window.has_value();
  std::int64_t source = first_shared() - 1;
  while (source >= 0 && visible[static_cast<std::size_t>(source)].window.has_value() != slides) --source;
  if (source < 0) throw ExportError(ErrorCode::bad_config, "no layer of this type has keys to share");
  return source;
}

Gemma3nAttention::Gemma3nAttention(const Scope& s, std::int64_t layer, const Gemma3nConfig& c)
    : path_(s.path()),
      layer_(layer),
      source_(c.source_of(layer)),
      sizes_(c.heads),
      visible_(c.visible.at(static_cast<std::size_t>(layer))),
      rotary_(visible_.window ? "rotary_emb_local" : "rotary_emb", visible_.window ? c.local_rope : c.rope),
      query_(s / "q_proj", c.hidden_size, sizes_.heads * sizes_.head_dim, c.attention_bias),
      output_(s / "o_proj", sizes_.heads * sizes_.head_dim, c.hidden_size, c.attention_bias),
      query_norm_(nn::per_head(c.norm(s / "q_norm", sizes_.head_dim), sizes_.head_dim)) {
  // Checkpoints have these also for layers that take the keys and values of others.
  const nn::Linear key(s / "k_proj", c.hidden_size, sizes_.kv_heads * sizes_.head_dim, c.attention_bias);
  const nn::Linear value(s / "v_proj", c.hidden_size, sizes_.kv_heads * sizes_.head_dim, c.attention_bias);
  const auto key_norm = nn::per_head(c.norm(s / "k_norm", sizes_.head_dim), sizes_.head_dim);
  const auto value_norm = nn::per_head(
      [eps = c.norm_parameters.eps](Value x) { return op::rms_norm(x, {}, eps); }, sizes_.head_dim);
  key_ = [=](Value x) { return key_norm(key(x)); };
  value_ = [=](Value x) { return value_norm(value(x)); };
}

Value Gemma3nAttention::operator()(Value x, nn::DecoderPass& pass, KeptKeys& kept) const {
  const ModulePath at(x, path_);
  const Value query = query_norm_(query_(x));
  const op::Rope rope = rotary_(pass.position_ids());
  return output_(source_ ? with_shared(query, rope, pass, kept.at(*source_))
                         : with_own(x, query, rope, pass, kept));
}

Value Gemma3nAttention::with_own(Value x, Value query, const op::Rope& rope, nn::DecoderPass& pass,
                                 KeptKeys& kept) const {
  const nn::KeyValue past = pass.past(layer_);
  const Value key = key_(x);
  const op::AttentionResults made = op::attention({.query = query,
                                                   .key = key,
                                                   .value = value_(x),
                                                   .past_key = past.key,
                                                   .past_value = past.value,
                                                   .mask = pass.mask(visible_),
                                                   .rope = rope},
                                                  sizes_.heads, sizes_.kv_heads, {.scale = 1});
  kept[layer_] = {made.key, made.value};
  pass.keep(layer_, kept[layer_]);
  if (visible_.window && *visible_.window > 1 && !pass.has_past()) pass.crop(layer_, *visible_.window - 1);
  return made.output;
}

Value Gemma3nAttention::with_shared(Value query, const op::Rope& rope, const nn::DecoderPass& pass,
                                    const nn::KeyValue& kept) const {
  const op::AttentionMask mask{.padding = pass.attention_mask(), .visible = ordered(pass)};
  const op::AttentionOperands operands{
      .query = nn::turned(query, rope, sizes_.heads), .key = kept.key, .value = kept.value, .mask = mask};
  return op::attention(operands, sizes_.heads, sizes_.kv_heads, {.scale = 1}).output;
}

Value Gemma3nAttention::ordered(const nn::DecoderPass& pass) const {
  const ModulePath at(pass.graph(), "attention_mask");
  const Value key = op::arange(pass.graph(), pass.total_length());
  const Value query = op::unsqueeze(op::arange(pass.graph(), pass.length(), pass.past_length()), 1);
  Value seen = op::le(key, query);
  if (visible_.window) {
    const Value first = op::sub(query, static_cast<double>(*visible_.window));
    seen = op::logical_and(seen, op::gt(key, first));
  }
  return op::unsqueeze(op::unsqueeze(seen, 0), 0);
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

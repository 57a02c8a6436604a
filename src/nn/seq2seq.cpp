#include "onnxport/nn/seq2seq.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

HeadSizes head_sizes(const Seq2SeqLayerParameters& p) {
  return {p.hidden_size, p.heads, p.heads, p.hidden_size / p.heads};
}

SelfAttentionParameters encoder_attention(const Seq2SeqLayerParameters& p) {
  SelfAttentionParameters attention;
  attention.hidden_size = p.hidden_size;
  attention.heads = p.heads;
  attention.query = "q_proj";
  attention.key = "k_proj";
  attention.value = "v_proj";
  attention.output = "out_proj";
  attention.key_bias = p.key_bias;
  return attention;
}

CausalAttention decoder_attention(const Scope& s, const Seq2SeqLayerParameters& p) {
  const HeadSizes sizes = head_sizes(p);
  return {s,
          {.sizes = sizes},
          QkvProjection::separate(s, sizes, true, "q_proj", "k_proj", "v_proj", p.key_bias),
          Linear(s / "out_proj", p.hidden_size, p.hidden_size)};
}

Mlp feed_forward(const Scope& s, const Seq2SeqLayerParameters& p) {
  return {s.path(), Linear(s / "fc1", p.hidden_size, p.ffn_dim), Linear(s / "fc2", p.ffn_dim, p.hidden_size),
          p.activation};
}

constexpr double kEps = 1e-5;  // torch's default: no knob of these models

}  // namespace

Seq2SeqPass::Seq2SeqPass(const Inputs& inputs)
    : DecoderPass(inputs, {.attention_mask = "", .past = "past_key_values.{}.decoder."}),
      cross_inputs_(inputs),
      encoder_states_(inputs["encoder_hidden_states"]),
      encoder_mask_(inputs.get("encoder_attention_mask")) {}

Seq2SeqPass::Seq2SeqPass(const Inputs& inputs, Value encoder_states, Value encoder_mask)
    : DecoderPass(inputs, {.input_ids = "decoder_input_ids", .attention_mask = "", .past = ""}),
      cross_inputs_(inputs),
      encoder_states_(encoder_states),
      encoder_mask_(encoder_mask) {}

Value Seq2SeqPass::encoder_mask() const { return nn::additive_mask(encoder_mask_, graph().float_dtype()); }

KeyValue Seq2SeqPass::cross_past(std::int64_t layer) const {
  const std::string name = fmt::format("past_key_values.{}.encoder.", layer);
  return {cross_inputs_.get(name + "key"), cross_inputs_.get(name + "value")};
}

CrossAttention::CrossAttention(const Scope& s, const CrossAttentionParameters& p)
    : path_(s.path()),
      parameters_(p),
      query_(s / p.query, p.sizes.hidden_size, p.sizes.heads * p.sizes.head_dim, p.bias),
      key_(s / p.key, p.sizes.hidden_size, p.sizes.heads * p.sizes.head_dim, p.bias && p.key_bias),
      value_(s / p.value, p.sizes.hidden_size, p.sizes.heads * p.sizes.head_dim, p.bias),
      output_(s / p.output, p.sizes.heads * p.sizes.head_dim, p.sizes.hidden_size, p.bias) {}

Value CrossAttention::operator()(Value x, Seq2SeqPass& pass, std::int64_t layer) const {
  const ModulePath at(x, path_);
  const std::int64_t heads = parameters_.sizes.heads;
  const Value query = split_heads(query_(x), heads);
  KeyValue states = pass.cross_past(layer);
  if (!states.key) {
    states.key = split_heads(key_(pass.encoder_states()), heads);
    states.value = split_heads(value_(pass.encoder_states()), heads);
    pass.keep_cross(states);
  }
  const Value context = op::scaled_dot_product_attention(query, states.key, states.value, pass.encoder_mask(),
                                                         parameters_.options);
  return output_(merge_heads(context));
}

Seq2SeqEncoderLayer::Seq2SeqEncoderLayer(const Scope& s, const Seq2SeqLayerParameters& p)
    : norm_before_(p.norm_before),
      self_attn_(s / "self_attn", encoder_attention(p)),
      self_attn_layer_norm_(s / "self_attn_layer_norm", p.hidden_size, kEps),
      mlp_(feed_forward(s, p)),
      final_layer_norm_(s / "final_layer_norm", p.hidden_size, kEps) {}

Value Seq2SeqEncoderLayer::operator()(Value x, Value mask) const {
  if (norm_before_) {
    x = op::add(x, self_attn_(self_attn_layer_norm_(x), mask));
    return op::add(x, mlp_(final_layer_norm_(x)));
  }
  x = self_attn_layer_norm_(op::add(x, self_attn_(x, mask)));
  return final_layer_norm_(op::add(x, mlp_(x)));
}

Seq2SeqDecoderLayer::Seq2SeqDecoderLayer(const Scope& s, const Seq2SeqLayerParameters& p, bool alone)
    : norm_before_(p.norm_before),
      self_attn_(decoder_attention(s / "self_attn", p)),
      self_attn_layer_norm_(s / "self_attn_layer_norm", p.hidden_size, kEps),
      mlp_(feed_forward(s, p)),
      final_layer_norm_(s / "final_layer_norm", p.hidden_size, kEps) {
  if (alone) {  // the original has them all the same
    s.ignore("encoder_attn");
    s.ignore("encoder_attn_layer_norm");
    return;
  }
  encoder_attn_.emplace(s / "encoder_attn",
                        CrossAttentionParameters{.sizes = head_sizes(p), .key_bias = p.key_bias});
  encoder_attn_layer_norm_.emplace(s / "encoder_attn_layer_norm", p.hidden_size, kEps);
}

Value Seq2SeqDecoderLayer::operator()(Value x, DecoderPass& pass, Seq2SeqPass* encoder, std::int64_t layer,
                                      Value mask) const {
  if (norm_before_) {
    x = op::add(x, self_attn_(self_attn_layer_norm_(x), pass, layer, mask));
    if (encoder_attn_) x = op::add(x, (*encoder_attn_)((*encoder_attn_layer_norm_)(x), *encoder, layer));
    return op::add(x, mlp_(final_layer_norm_(x)));
  }
  x = self_attn_layer_norm_(op::add(x, self_attn_(x, pass, layer, mask)));
  if (encoder_attn_) x = (*encoder_attn_layer_norm_)(op::add(x, (*encoder_attn_)(x, *encoder, layer)));
  return final_layer_norm_(op::add(x, mlp_(x)));
}

std::vector<std::string> text2text_tasks() {
  return {"feature-extraction", "feature-extraction-with-past", "text2text-generation",
          "text2text-generation-with-past"};
}

NamedValues build_seq2seq_task(const OnnxConfig& config, const Inputs& inputs, const Seq2SeqParts& parts) {
  const auto& seq2seq = dynamic_cast<const OnnxSeq2SeqConfigWithPast&>(config);
  if (seq2seq.behavior() == ConfigBehavior::encoder) return {{"last_hidden_state", parts.encode(inputs)}};
  const bool whole = seq2seq.behavior() == ConfigBehavior::monolith;
  Value states;
  if (whole) states = parts.encode(inputs);
  Seq2SeqPass pass =
      whole ? Seq2SeqPass(inputs, states, parts.encoder_mask ? inputs["attention_mask"] : Value())
            : Seq2SeqPass(inputs);
  const Value hidden = parts.decode(pass);
  const bool features = config.task().starts_with("feature-extraction");
  NamedValues outputs;
  outputs.emplace_back(features ? "last_hidden_state" : "logits", features ? hidden : parts.lm_head(hidden));
  const AxesByName declared = config.outputs();
  const bool wants_states = std::any_of(declared.begin(), declared.end(), [](const auto& output) {
    return output.first == "encoder_last_hidden_state";
  });
  if (wants_states) outputs.emplace_back("encoder_last_hidden_state", states);
  if (!seq2seq.use_past()) return outputs;
  for (std::size_t i = 0; i < pass.presents().size(); ++i) {
    const auto add = [&](const char* part, const KeyValue& pair) {
      outputs.emplace_back(fmt::format("present.{}.{}.key", i, part), pair.key);
      outputs.emplace_back(fmt::format("present.{}.{}.value", i, part), pair.value);
    };
    add("decoder", pass.presents()[i]);
    if (i < pass.cross_presents().size()) add("encoder", pass.cross_presents()[i]);
  }
  return outputs;
}

Value decoder_positions(const DecoderPass& pass) {
  return op::arange(pass.graph(), pass.length(), pass.past_length());
}

Weight sinusoidal_table(std::int64_t positions, std::int64_t width) {
  const std::int64_t sines = (width + 1) / 2;
  std::vector<double> values(static_cast<std::size_t>(positions * width));
  for (std::int64_t position = 0; position < positions; ++position) {
    for (std::int64_t j = 0; j < width; ++j) {
      const double angle = static_cast<double>(position) /
                           std::pow(10000.0, static_cast<double>(j - j % 2) / static_cast<double>(width));
      const std::int64_t column = j / 2 + (j % 2 == 0 ? 0 : sines);
      values[static_cast<std::size_t>(position * width + column)] =
          j % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  }
  return Weight::from_doubles(DType::f32, {positions, width}, values, "embed_positions.weight");
}

}  // namespace onnxport::nn

#include "onnxport/nn/seq2seq.h"

#include <fmt/format.h>

#include <utility>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

HeadSizes head_sizes(const Seq2SeqLayerParameters& p) {
  if (p.heads < 1 || p.hidden_size % p.heads != 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("a width of {} is not a multiple of {} attention heads", p.hidden_size, p.heads));
  }
  return {p.hidden_size, p.heads, p.heads, p.hidden_size / p.heads};
}

SelfAttentionParameters encoder_attention(const Seq2SeqLayerParameters& p) {
  SelfAttentionParameters attention;
  attention.hidden_size = p.hidden_size;
  attention.heads = head_sizes(p).heads;
  attention.query = "q_proj";
  attention.key = "k_proj";
  attention.value = "v_proj";
  attention.output = "out_proj";
  attention.bias = p.bias;
  return attention;
}

// All tokens of a decoder with an encoder are real.
CausalAttention decoder_attention(const Scope& s, std::int64_t layer, const Seq2SeqLayerParameters& p,
                                  bool alone) {
  const HeadSizes sizes = head_sizes(p);
  return CausalAttentionParts{
      .path = s.path(),
      .layer = layer,
      .sizes = sizes,
      .qkv = QkvProjection::separate(s, sizes, p.bias != QkvBias::none, "q_proj", "k_proj", "v_proj",
                                     p.bias == QkvBias::all),
      .output = Linear(s / "out_proj", p.hidden_size, p.hidden_size, p.bias != QkvBias::none),
      .mask = p.mask ? p.mask : sees({}, alone ? op::NoKeys::uniform : op::NoKeys::zero)};
}

FeedForward feed_forward(const Scope& s, const Seq2SeqLayerParameters& p) {
  if (p.feed_forward) return p.feed_forward;
  return Mlp(s.path(), Linear(s / "fc1", p.hidden_size, p.ffn_dim),
             Linear(s / "fc2", p.ffn_dim, p.hidden_size), p.activation);
}

constexpr double kEps = 1e-5;  // torch's default, not configurable

}  // namespace

Seq2SeqPass::Seq2SeqPass(const Inputs& inputs, std::vector<StateSpec> states)
    : DecoderPass(inputs, std::move(states), {.attention_mask = ""}),
      encoder_states_(inputs.get("encoder_hidden_states")),
      encoder_mask_(inputs.get("encoder_attention_mask")) {}

Seq2SeqPass::Seq2SeqPass(const Inputs& inputs, Value encoder_states, Value encoder_mask,
                         std::vector<StateSpec> states)
    : DecoderPass(inputs, std::move(states), {.input_ids = "decoder_input_ids", .attention_mask = ""}),
      encoder_states_(encoder_states),
      encoder_mask_(encoder_mask) {}

KeyValue Seq2SeqPass::cross_past(std::int64_t layer) const {
  return {past(layer, "encoder.key"), past(layer, "encoder.value")};
}

void Seq2SeqPass::keep_cross(std::int64_t layer, const KeyValue& present) {
  keep(layer, "encoder.key", present.key);
  keep(layer, "encoder.value", present.value);
}

namespace {

std::vector<Linear> keys_and_values(const Scope& s, const CrossAttentionParameters& p) {
  const std::int64_t in = p.encoder_width.value_or(p.sizes.hidden_size);
  const std::int64_t out = p.sizes.kv_heads * p.sizes.head_dim;
  return {Linear(s / p.key, in, out, p.bias && p.key_bias), Linear(s / p.value, in, out, p.bias)};
}

// Heads of the keys: as many as fit into the rows of their layer.
std::int64_t key_heads(const Linear& query, const std::vector<Linear>& key_value, std::int64_t heads) {
  const std::int64_t head_dim = query.weight().shape()[0] / heads;
  const auto layers = static_cast<std::int64_t>(key_value.size());
  return key_value[0].weight().shape()[0] * layers / 2 / head_dim;
}

}  // namespace

CrossAttention::CrossAttention(const Scope& s, const CrossAttentionParameters& p)
    : CrossAttention(s.path(), p.sizes.heads, p.options,
                     Linear(s / p.query, p.sizes.hidden_size, p.sizes.heads * p.sizes.head_dim, p.bias),
                     keys_and_values(s, p),
                     Linear(s / p.output, p.sizes.heads * p.sizes.head_dim, p.sizes.hidden_size, p.bias)) {}

CrossAttention::CrossAttention(std::string path, std::int64_t heads, op::AttentionOptions options,
                               Linear query, std::vector<Linear> key_value, Linear output)
    : path_(std::move(path)),
      heads_(heads),
      options_(options),
      query_(std::move(query)),
      key_value_(std::move(key_value)),
      output_(std::move(output)) {}

KeyValue CrossAttention::project(Value states) const {
  std::vector<Value> parts;
  if (key_value_.size() == 1) {
    parts = op::chunk(key_value_[0](states), -1, 2);
  } else {
    for (const Linear& linear : key_value_) parts.push_back(linear(states));
  }
  const std::int64_t heads = key_heads(query_, key_value_, heads_);
  const Value key = split_heads(parts[0], heads);
  return {key, split_heads(parts[1], heads)};
}

Value CrossAttention::operator()(Value x, Seq2SeqPass& pass, std::int64_t layer) const {
  const ModulePath at(x, path_);
  const Value query = query_(x);
  KeyValue states = pass.cross_past(layer);
  if (!states.key) {
    states = project(pass.encoder_states());
    pass.keep_cross(layer, states);
  }
  const op::AttentionOperands operands = {
      .query = query, .key = states.key, .value = states.value, .mask = pass.encoder_mask()};
  const std::int64_t heads = key_heads(query_, key_value_, heads_);
  const std::string weights = fmt::format("cross_attentions.{}", layer);
  op::AttentionOptions options = options_;
  options.weights = pass.wants(weights);
  const op::AttentionResults results = op::attention(operands, heads_, heads, options);
  if (options.weights) pass.give(weights, results.weights);
  return output_(results.output);
}

Seq2SeqEncoderLayer::Seq2SeqEncoderLayer(const Scope& s, const Seq2SeqLayerParameters& p)
    : Seq2SeqEncoderLayer(s, p, SelfAttention(s / "self_attn", encoder_attention(p))) {}

Seq2SeqEncoderLayer::Seq2SeqEncoderLayer(const Scope& s, const Seq2SeqLayerParameters& p, Attention attention)
    : norm_before_(p.norm_before),
      self_attn_(std::move(attention)),
      self_attn_layer_norm_(s / "self_attn_layer_norm", p.hidden_size, kEps),
      mlp_(feed_forward(s, p)),
      final_layer_norm_(s / p.names.feed_forward_norm, p.hidden_size, kEps) {}

Value Seq2SeqEncoderLayer::operator()(Value x, const op::AttentionMask& mask) const {
  if (norm_before_) {
    x = op::add(x, self_attn_(self_attn_layer_norm_(x), mask));
    return clamp_half(op::add(x, mlp_(final_layer_norm_(x))));
  }
  x = self_attn_layer_norm_(op::add(x, self_attn_(x, mask)));
  return clamp_half(final_layer_norm_(op::add(x, mlp_(x))));
}

Seq2SeqDecoderLayer::Seq2SeqDecoderLayer(const Scope& s, std::int64_t layer, const Seq2SeqLayerParameters& p,
                                         bool alone)
    : layer_(layer),
      norm_before_(p.norm_before),
      self_attn_(decoder_attention(s / "self_attn", layer, p, alone)),
      self_attn_layer_norm_(s / "self_attn_layer_norm", p.hidden_size, kEps),
      mlp_(feed_forward(s, p)),
      final_layer_norm_(s / p.names.feed_forward_norm, p.hidden_size, kEps) {
  const std::string &cross = p.names.encoder_attention, cross_norm = cross + "_layer_norm";
  if (alone) {  // the original has them all the same
    s.ignore(cross);
    s.ignore(cross_norm);
    return;
  }
  encoder_attn_.emplace(s / cross, CrossAttentionParameters{.sizes = head_sizes(p),
                                                            .encoder_width = p.encoder_width,
                                                            .bias = p.bias != QkvBias::none,
                                                            .key_bias = p.bias == QkvBias::all});
  encoder_attn_layer_norm_.emplace(s / cross_norm, p.hidden_size, kEps);
}

Value Seq2SeqDecoderLayer::operator()(Value x, DecoderPass& pass, Seq2SeqPass* encoder) const {
  if (norm_before_) {
    x = op::add(x, self_attn_(self_attn_layer_norm_(x), pass));
    if (encoder_attn_) x = op::add(x, (*encoder_attn_)((*encoder_attn_layer_norm_)(x), *encoder, layer_));
    return op::add(x, mlp_(final_layer_norm_(x)));
  }
  x = self_attn_layer_norm_(op::add(x, self_attn_(x, pass)));
  if (encoder_attn_) x = (*encoder_attn_layer_norm_)(op::add(x, (*encoder_attn_)(x, *encoder, layer_)));
  return final_layer_norm_(op::add(x, mlp_(x)));
}

PostNormDecoder::PostNormDecoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p) {
  const SelfAttentionParameters& a = p.attention;
  if (a.relative_positions) {
    throw ExportError(ErrorCode::unsupported,
                      "relative positions in a decoder with an encoder are not supported, expected "
                      "position_embedding_type absolute");
  }
  const std::int64_t width = a.hidden_size;
  const CrossAttentionParameters cross{.sizes = {width, a.heads, a.heads, width / a.heads},
                                       .query = a.query,
                                       .key = a.key,
                                       .value = a.value,
                                       .output = a.output};
  for (std::int64_t i = 0; i < layers; ++i) {
    const Scope layer = s / i, attention = layer / "crossattention";
    layers_.push_back({.path = layer.path(),
                       .attention = SelfAttention(layer / p.attention_key, a),
                       .attention_norm = LayerNorm(layer / p.attention_norm, width, p.eps),
                       .cross = CrossAttention(attention, cross),
                       .cross_norm = LayerNorm(attention / "output.LayerNorm", width, p.eps),
                       .mlp = Mlp(layer.path(), Linear(layer / p.up, width, p.intermediate_size),
                                  Linear(layer / p.down, p.intermediate_size, width), p.activation),
                       .output_norm = LayerNorm(layer / p.output_norm, width, p.eps)});
  }
}

Value PostNormDecoder::operator()(Value x, Seq2SeqPass& pass) const {
  const op::AttentionMask mask = pass.mask();
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const ModulePath at(x, layer.path);
    x = layer.attention_norm(op::add(x, layer.attention(x, mask)));
    x = layer.cross_norm(op::add(x, layer.cross(x, pass, static_cast<std::int64_t>(i))));
    x = layer.output_norm(op::add(x, layer.mlp(x)));
  }
  return x;
}

std::vector<std::string> text2text_tasks() {
  return {"feature-extraction", "feature-extraction-with-past", "text2text-generation",
          "text2text-generation-with-past"};
}

namespace {

// The keys and values come from the layers of the decoder, so it decodes one token. Nothing uses its other
// results.
NamedValues build_encoder(const Component& component, const Inputs& inputs, const Seq2SeqParts& parts) {
  const Value states = parts.encode(inputs);
  NamedValues outputs = {{"last_hidden_state", states}};
  if (component.interface.states.empty()) return outputs;
  const Value token = op::unsqueeze(op::unsqueeze(op::scalar(states.graph(), 0, DType::i64), 0), 0);
  const Value tokens = op::expand(token, {states.dim(0), 1});
  Seq2SeqPass pass(inputs.with("decoder_input_ids", tokens), states,
                   parts.encoder_mask ? inputs["attention_mask"] : Value(), component.interface.states);
  parts.decode(pass);
  pass.add_presents(outputs);
  return outputs;
}

}  // namespace

NamedValues build_seq2seq_task(const Component& component, const Inputs& inputs, const Seq2SeqParts& parts) {
  if (component.part == "encoder") return build_encoder(component, inputs, parts);
  const bool whole = component.part.empty();
  Value states;
  if (whole) states = parts.encode(inputs);
  Seq2SeqPass pass =
      whole ? Seq2SeqPass(inputs, states, parts.encoder_mask ? inputs["attention_mask"] : Value())
            : Seq2SeqPass(inputs, component.interface.states);
  pass.want_outputs_of(component.interface);
  const Value hidden = parts.decode(pass);
  const bool features = component.task.starts_with("feature-extraction");
  NamedValues outputs;
  outputs.emplace_back(features ? "last_hidden_state" : "logits", features ? hidden : parts.lm_head(hidden));
  if (component.interface.has_output("encoder_last_hidden_state"))
    outputs.emplace_back("encoder_last_hidden_state", states);
  pass.add_presents(outputs);
  pass.add_given(outputs);
  return outputs;
}

Value decoder_positions(const DecoderPass& pass) {
  return op::arange(pass.graph(), pass.length(), pass.past_length());
}

}  // namespace onnxport::nn

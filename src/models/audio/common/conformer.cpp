#include "models/audio/common/conformer.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/rotary.h"

namespace onnxport::models {
namespace {

[[noreturn]] void refuse(const PretrainedConfig& c, const std::string& what) {
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", c.origin(), what));
}

nn::DistanceVectors distance_vectors(const PretrainedConfig& c) {
  const std::int64_t left = c.integer("left_max_position_embeddings"),
                     right = c.integer("right_max_position_embeddings");
  constexpr std::int64_t kMost = 1 << 20;
  if (left >= 0 && right >= 0 && left <= kMost && right <= kMost) return {.left = left, .right = right};
  refuse(c,
         fmt::format("left_max_position_embeddings is {} and right_max_position_embeddings is {}, expected "
                     "0 to {}",
                     left, right, kMost));
}

}  // namespace

ConformerConfig::ConformerConfig(const PretrainedConfig& c, const ConformerKeys& keys)
    : hidden_size(c.integer("hidden_size")),
      layers(c.integer(keys.layers)),
      intermediate_size(c.integer(keys.intermediate_size)),
      activation(c.string(keys.activation)),
      convolution{
          .width = hidden_size, .kernel = c.integer("conv_depthwise_kernel_size"), .activation = activation} {
  const std::int64_t heads = c.integer(keys.heads);
  check_multiple(c, "hidden_size", hidden_size, keys.heads, heads);
  attention.projections.heads = heads;
  attention = plain_attention(hidden_size);
  if (convolution.kernel < 1 || convolution.kernel % 2 == 0)
    refuse(c, fmt::format("conv_depthwise_kernel_size is {}, expected an odd number", convolution.kernel));

  const std::string positions = c.maybe_string("position_embeddings_type").value_or("");
  const bool has_vectors = c.has("left_max_position_embeddings");
  if (positions == "relative") {
    attention.terms.emplace();
    if (hidden_size % 2 != 0)
      refuse(c,
             fmt::format("hidden_size is {}, expected an even number for relative positions", hidden_size));
  } else if (positions == "rotary") {
    rotary_base = c.real("rotary_embedding_base");
  } else if (positions == "relative_key" && has_vectors) {
    attention.vectors = distance_vectors(c);
  } else if (!positions.empty()) {
    refuse(c, fmt::format("position_embeddings_type is '{}', expected 'relative', 'rotary'{} or null",
                          positions, has_vectors ? ", 'relative_key'" : ""));
  }
  // The table of sinusoids grows with the input.
  c.harmless({"max_source_positions", "rotary_embedding_base", "left_max_position_embeddings",
              "right_max_position_embeddings"});
}

nn::ConformerAttentionParameters ConformerConfig::plain_attention(std::int64_t width) const {
  return {.projections = {.hidden_size = width,
                          .heads = attention.projections.heads,
                          .query = "linear_q",
                          .key = "linear_k",
                          .value = "linear_v",
                          .output = "linear_out"}};
}

nn::Mlp ConformerConfig::feed_forward(const Scope& s, std::int64_t width, const std::string& act) const {
  return {s.path(), nn::Linear(s / "intermediate_dense", width, intermediate_size),
          nn::Linear(s / "output_dense", intermediate_size, width), act};
}

std::vector<Value> conformer_states(const Scope& s, const ConformerConfig& c, Value x, Value mask,
                                    Value visible) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const Dim& length = x.dim(1);
  nn::ConformerContext shared;
  shared.mask = nn::padding_mask(mask);
  shared.mask.visible = visible;
  if (mask) {
    const Value hidden = op::eq(op::cast(mask, DType::i64), 0.0);
    shared.padding = op::unsqueeze(hidden, 2);
    x = op::masked_fill(x, shared.padding, 0);
  }
  if (c.attention.terms) shared.distances = nn::conformer_distances(graph, length, c.hidden_size, x.dtype());
  if (c.rotary_base) {
    const nn::RotaryEmbedding rotary(
        "embed_positions", {.dim = c.hidden_size / c.attention.projections.heads, .theta = *c.rotary_base});
    shared.rope = rotary(op::unsqueeze(op::arange(graph, length), 0));
  }
  std::vector<Value> states = {x};
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "layers" / i;
    const auto norm = [&](const char* key) { return nn::LayerNorm(layer / key, c.hidden_size, c.eps); };
    const auto feed_forward = [&](const char* key) {
      return c.feed_forward(layer / key, c.hidden_size, c.activation);
    };
    const nn::ConformerLayer conformer = {
        .path = layer.path(),
        .first_norm = norm("ffn1_layer_norm"),
        .first = feed_forward("ffn1"),
        .attention_norm = norm("self_attn_layer_norm"),
        .attention = nn::ConformerAttention(layer / "self_attn", c.attention),
        .convolution_norm = norm("conv_module.layer_norm"),
        .convolution = nn::ConformerConv(layer / "conv_module", c.convolution),
        .second_norm = norm("ffn2_layer_norm"),
        .second = feed_forward("ffn2"),
        .norm = norm("final_layer_norm")};
    states.push_back(conformer(states.back(), shared));
  }
  return states;
}

Value first_frames(Value count, const Dim& length) {
  return op::lt(op::arange(count.graph(), length), op::unsqueeze(count, 1));
}

Value ConformerAdapter::shorten(Value lengths) const {
  // floor((length + 2 padding - kernel) / stride) + 1, where integer division truncates toward zero.
  const std::int64_t added = 2 * (kernel / 2) - kernel + stride;
  return op::div(op::add(lengths, static_cast<double>(added)), static_cast<double>(stride));
}

Value ConformerAdapter::layer(const Scope& s, const ConformerConfig& c, Value x, Value length) const {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* key) { return nn::LayerNorm(s / key, width, c.eps); };
  const auto pooled = [&](const char* key, Value frames) {
    const nn::Conv1d conv(s / key, width, 2 * width, kernel, true,
                          {.stride = {stride}, .padding = {stride / 2, stride / 2}});
    return op::transpose(nn::glu(conv(op::transpose(frames, 1, 2)), 1), 1, 2);
  };
  const Value residual = pooled("residual_conv", norm("residual_layer_norm")(x));
  x = pooled("self_attn_conv", norm("self_attn_layer_norm")(x));
  nn::ConformerContext shared;
  if (length) shared.mask = nn::padding_mask(first_frames(length, x.dim(1)));
  x = op::add(nn::ConformerAttention(s / "self_attn", c.plain_attention(width))(x, shared), residual);
  const Value normed = norm("ffn_layer_norm")(x);
  return op::add(c.feed_forward(s / "ffn", width, activation)(normed), x);
}

}  // namespace onnxport::models

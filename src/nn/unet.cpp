#include "onnxport/nn/unet.h"

#include "onnxport/nn/vision.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

constexpr double kNormEps = 1e-5;       // of layer norms
constexpr double kImageNormEps = 1e-6;  // of the group norm in front of the tokens
constexpr std::int64_t kWider = 4;      // the feed-forward, than the tokens

Conv2d conv3x3(const Scope& s, std::int64_t in, std::int64_t out) {
  return {s, in, out, {3, 3}, true, {.padding = {1, 1}}};
}

// [N, C] as images of one pixel.
Value as_pixels(Value x) { return op::unsqueeze(op::unsqueeze(x, 2), 3); }

}  // namespace

ResnetBlock2d::ResnetBlock2d(const Scope& s, const ResnetBlock2dParameters& p)
    : path_(s.path()),
      norm1_(s / "norm1", p.groups, p.in, p.eps),
      norm2_(s / "norm2", p.groups, p.out, p.eps),
      conv1_(conv3x3(s / "conv1", p.in, p.out)),
      conv2_(conv3x3(s / "conv2", p.out, p.out)),
      activation_(p.activation),
      scale_shift_(p.scale_shift),
      divisor_(p.divisor) {
  if (p.time > 0) time_.emplace(s / "time_emb_proj", p.time, p.scale_shift ? 2 * p.out : p.out);
  if (p.in != p.out) shortcut_.emplace(s / "conv_shortcut", p.in, p.out, KernelSize{1, 1});
}

Value ResnetBlock2d::operator()(Value x, Value time) const {
  const ModulePath at(x, path_);
  Value y = conv1_(activation_(norm1_(x)));
  Value shift;
  if (time_) shift = as_pixels((*time_)(time));
  if (time_ && scale_shift_) {
    const std::vector<Value> parts = op::chunk(shift, 1, 2);
    const Value scale = op::add(parts[0], 1.0);
    y = op::add(op::mul(norm2_(y), scale), parts[1]);
  } else {
    y = norm2_(shift ? op::add(y, shift) : y);
  }
  y = conv2_(activation_(y));
  if (shortcut_) x = (*shortcut_)(x);
  const Value sum = op::add(x, y);
  return divisor_ == 1 ? sum : op::div(sum, divisor_);
}

Downsample2d::Downsample2d(const Scope& s, std::int64_t channels, std::int64_t padding)
    : conv_(s / "conv", channels, channels, {3, 3}, true,
            {.stride = {2, 2},
             .padding = padding == 0 ? std::vector<std::int64_t>{0, 0, 1, 1}
                                     : std::vector<std::int64_t>{padding, padding}}) {}

Upsample2d::Upsample2d(const Scope& s, std::int64_t channels)
    : path_(s.path()), conv_(conv3x3(s / "conv", channels, channels)) {}

Value Upsample2d::operator()(Value x, const Dim& height, const Dim& width) const {
  const ModulePath at(x, path_);
  return conv_(op::interpolate(x, {height, width}, "nearest"));
}

namespace {

// A layer of the attention in an autoencoder, by the name that the checkpoint has for it.
Linear pixel_linear(const Scope& s, const char* name, const char* older, std::int64_t channels) {
  const bool old = (s / older).has("weight");
  return {s / (old ? older : name), channels, channels};
}

}  // namespace

PixelAttention::PixelAttention(const Scope& s, std::int64_t channels, std::int64_t groups, double eps)
    : path_(s.path()),
      norm_(s / "group_norm", groups, channels, eps),
      query_(pixel_linear(s, "to_q", "query", channels)),
      key_(pixel_linear(s, "to_k", "key", channels)),
      value_(pixel_linear(s, "to_v", "value", channels)),
      output_(pixel_linear(s, "to_out.0", "proj_attn", channels)) {}

Value PixelAttention::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value tokens = image_to_tokens(norm_(x));
  const Value query = query_(tokens);
  const Value key = key_(tokens);
  const Value attended = op::attention({.query = query, .key = key, .value = value_(tokens)}, 1, 1).output;
  return op::add(x, tokens_to_image(output_(attended), x.dim(2), x.dim(3)));
}

TokenAttention::TokenAttention(const Scope& s, const TokenAttentionParameters& p)
    : path_(s.path()),
      heads_(p.heads),
      float32_scores_(p.float32_scores),
      query_(s / "to_q", p.width, p.heads * p.head_dim, p.bias),
      key_(s / "to_k", p.context, p.heads * p.head_dim, p.bias),
      value_(s / "to_v", p.context, p.heads * p.head_dim, p.bias),
      output_(s / "to_out.0", p.heads * p.head_dim, p.width) {
  if (!p.norm_eps) return;
  query_norm_.emplace(s / "norm_q", p.heads * p.head_dim, NormParameters{.eps = *p.norm_eps});
  key_norm_.emplace(s / "norm_k", p.heads * p.head_dim, NormParameters{.eps = *p.norm_eps});
}

Value TokenAttention::operator()(Value x, Value context, const op::AttentionMask& mask) const {
  const ModulePath at(x, path_);
  const DType wide = float32_scores_ ? DType::f32 : x.dtype();
  const auto normed = [](const std::optional<RmsNorm>& norm, Value of) { return norm ? (*norm)(of) : of; };
  const Value query = op::cast(normed(query_norm_, query_(x)), wide);
  const Value key = op::cast(normed(key_norm_, key_(context)), wide);
  const Value value = op::cast(value_(context), wide);
  const Value attended =
      op::attention({.query = query, .key = key, .value = value, .mask = mask}, heads_, heads_).output;
  return output_(op::cast(attended, x.dtype()));
}

GegluFeedForward::GegluFeedForward(const Scope& s, std::int64_t width)
    : path_(s.path()),
      up_(s / "net.0.proj", width, 2 * kWider * width),
      down_(s / "net.2", kWider * width, width) {}

Value GegluFeedForward::operator()(Value x) const {
  const ModulePath at(x, path_);
  const std::vector<Value> parts = op::chunk(up_(x), -1, 2);
  return down_(op::mul(parts[0], op::gelu(parts[1])));
}

SpatialTransformer::SpatialTransformer(const Scope& s, const SpatialTransformerParameters& p)
    : path_(s.path()), norm_(s / "norm", p.groups, p.channels, kImageNormEps) {
  if (p.linear) {
    linear_in_.emplace(s / "proj_in", p.channels, p.channels);
    linear_out_.emplace(s / "proj_out", p.channels, p.channels);
  } else {
    conv_in_.emplace(s / "proj_in", p.channels, p.channels, KernelSize{1, 1});
    conv_out_.emplace(s / "proj_out", p.channels, p.channels, KernelSize{1, 1});
  }
  TokenAttentionParameters attention{.width = p.channels,
                                     .context = p.channels,
                                     .heads = p.heads,
                                     .head_dim = p.channels / p.heads,
                                     .float32_scores = p.float32_scores};
  for (std::int64_t i = 0; i < p.layers; ++i) {
    const Scope block = s / "transformer_blocks" / i;
    const auto norm = [&](const char* name) { return LayerNorm(block / name, p.channels, kNormEps); };
    attention.context = p.channels;
    const TokenAttention to_itself(block / "attn1", attention);
    attention.context = p.context;
    blocks_.push_back({block.path(), norm("norm1"), norm("norm2"), norm("norm3"), to_itself,
                       TokenAttention(block / "attn2", attention),
                       GegluFeedForward(block / "ff", p.channels)});
  }
}

Value SpatialTransformer::operator()(Value x, Value text) const {
  const ModulePath at(x, path_);
  Value tokens = norm_(x);
  if (conv_in_) tokens = (*conv_in_)(tokens);
  tokens = image_to_tokens(tokens);
  if (linear_in_) tokens = (*linear_in_)(tokens);
  for (const Block& block : blocks_) {
    const ModulePath in(x, block.path);
    const Value normed = block.norm1(tokens);
    tokens = op::add(block.to_itself(normed, normed), tokens);
    tokens = op::add(block.to_text(block.norm2(tokens), text), tokens);
    tokens = op::add(block.feed_forward(block.norm3(tokens)), tokens);
  }
  if (linear_out_) tokens = (*linear_out_)(tokens);
  Value image = tokens_to_image(tokens, x.dim(2), x.dim(3));
  if (conv_out_) image = (*conv_out_)(image);
  return op::add(image, x);
}

}  // namespace onnxport::nn

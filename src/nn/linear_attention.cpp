#include "onnxport/nn/linear_attention.h"

#include "onnxport/nn/vision.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

constexpr double kLeast = 1e-15;  // added to the divisor

// A convolution of one pixel.
Conv2d point_conv(const Scope& s, std::int64_t in, std::int64_t out, bool bias, std::int64_t groups = 1) {
  return {s, in, out, {1, 1}, bias, {.groups = groups}};
}

// Of each channel alone; the image keeps its extents.
Conv2d depth_conv(const Scope& s, std::int64_t channels, std::int64_t kernel, bool bias) {
  return {s,        channels,
          channels, {kernel, kernel},
          bias,     {.padding = {kernel / 2, kernel / 2}, .groups = channels}};
}

}  // namespace

// The original appends a row of ones to the values and divides by the result for that row, which equals the
// product with the sum of the keys.
Value relu_linear_attention(Value query, Value key, Value value) {
  const DType dtype = query.dtype();
  const auto positive = [](Value x) { return op::cast(op::relu(x), DType::f32); };
  const Value q = positive(query), k = positive(key);
  const Value v = op::cast(value, DType::f32);
  const Value states = op::matmul(op::transpose(k, 2, 3), v);
  const Value sums = op::transpose(op::sum(k, 2, true), 2, 3);
  const Value divisor = op::add(op::matmul(q, sums), kLeast);
  return op::cast(op::div(op::matmul(q, states), divisor), dtype);
}

ChannelRmsNorm::ChannelRmsNorm(const Scope& s, std::int64_t channels, double eps)
    : path_(s.path()), norm_(s, channels, {.eps = eps}), bias_(s.weight("bias", {channels})) {}

Value ChannelRmsNorm::operator()(Value image) const {
  const ModulePath at(image, path_);
  const Value normed = norm_(op::permute(image, {0, 2, 3, 1}));
  return op::permute(op::add(normed, image.graph().weight(bias_)), {0, 3, 1, 2});
}

GatedConv::GatedConv(const Scope& s, const GatedConvParameters& p)
    : path_(s.path()),
      inverted_(point_conv(s / "conv_inverted", p.channels, 2 * p.inner, true)),
      depth_(depth_conv(s / "conv_depth", 2 * p.inner, 3, true)),
      point_(point_conv(s / "conv_point", p.inner, p.channels, false)) {}

Value GatedConv::operator()(Value x) const {
  const ModulePath at(x, path_);
  const std::vector<Value> parts = op::chunk(depth_(op::silu(inverted_(x))), 1, 2);
  return point_(op::mul(parts[0], op::silu(parts[1])));
}

MultiscaleLinearAttention::MultiscaleLinearAttention(const Scope& s, const MultiscaleAttentionParameters& p)
    : path_(s.path()),
      head_dim_(p.head_dim),
      query_(s / "to_q", p.channels, p.heads() * p.head_dim, false),
      key_(s / "to_k", p.channels, p.heads() * p.head_dim, false),
      value_(s / "to_v", p.channels, p.heads() * p.head_dim, false),
      output_(s / "to_out", p.heads() * p.head_dim * (1 + std::ssize(p.kernels)), p.channels, false) {
  const std::int64_t all = 3 * p.heads() * p.head_dim;
  for (std::size_t i = 0; i < p.kernels.size(); ++i) {
    const Scope scale = s / "to_qkv_multiscale" / static_cast<std::int64_t>(i);
    scales_.push_back({depth_conv(scale / "proj_in", all, p.kernels[i], false),
                       point_conv(scale / "proj_out", all, all, false, 3 * p.heads())});
  }
}

Value MultiscaleLinearAttention::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Dim &rows = x.dim(2), &columns = x.dim(3);
  const Value pixels = image_to_tokens(x);
  const Value query = query_(pixels);
  const Value key = key_(pixels);
  const Value tokens = op::concat({query, key, value_(pixels)}, 2);
  const Value first = tokens_to_image(tokens, rows, columns);
  std::vector<Value> all = {first};
  for (const Scale& scale : scales_) all.push_back(scale.point(scale.depth(first)));
  // Each head takes as many neighbouring channels as its queries, keys and values have, whatever layer they
  // came from.
  const Value joined = op::concat(all, 1);
  const Dim heads = joined.dim(1).floor_div(3 * head_dim_);
  const Value apart = op::reshape(joined, {x.dim(0), heads, 3, head_dim_, rows * columns});
  const auto part = [&](std::int64_t i) { return op::transpose(op::select(apart, 2, i), 2, 3); };
  const Value q = part(0), k = part(1), v = part(2);
  const Value attended = relu_linear_attention(q, k, v);
  const Value merged =
      op::reshape(op::transpose(attended, 1, 2), {x.dim(0), rows * columns, heads * head_dim_});
  return tokens_to_image(output_(merged), rows, columns);
}

}  // namespace onnxport::nn

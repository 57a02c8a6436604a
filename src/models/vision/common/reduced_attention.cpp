#include "models/vision/common/reduced_attention.h"

#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"
#include "onnxport/op.h"

namespace onnxport::models {

Reduction patch_reduction(const Scope& convolution, const Scope& norm, std::int64_t width, std::int64_t ratio,
                          double eps) {
  if (ratio <= 1) return {};
  const nn::Conv2d reduce(convolution, width, width, {ratio, ratio}, true, {.stride = {ratio, ratio}});
  return [reduce, layer_norm = nn::LayerNorm(norm, width, eps)](Value tokens, const Dim& rows,
                                                                const Dim& columns) {
    const Value image = reduce(nn::tokens_to_image(tokens, rows, columns));
    return layer_norm(nn::image_to_tokens(image));
  };
}

ReducedAttention::ReducedAttention(const Scope& s, const ReducedAttentionParameters& p, Reduction reduction)
    : path_(s.path()),
      heads_(p.heads),
      query_(s / p.query, p.width, p.width, p.qkv_bias),
      key_(s / p.key, p.width, p.width, p.qkv_bias),
      value_(s / p.value, p.width, p.width, p.qkv_bias),
      output_(s / p.output, p.width, p.width),
      reduction_(std::move(reduction)) {}

Value ReducedAttention::operator()(Value x, const Dim& rows, const Dim& columns) const {
  const ModulePath at(x, path_);
  const Value query = query_(x);
  const Value seen = reduction_ ? reduction_(x, rows, columns) : x;
  const Value key = key_(seen);
  const Value value = value_(seen);
  return output_(op::attention({.query = query, .key = key, .value = value}, heads_, heads_).output);
}

}  // namespace onnxport::models

#include "onnxport/nn/conv.h"

namespace onnxport::nn {

Conv1d::Conv1d(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel, bool bias,
               op::ConvOptions options)
    : path_(s.path()),
      weight_(s.weight("weight", {out, in / options.groups, kernel})),
      bias_(bias ? s.weight("bias", {out}) : Weight()),
      options_(std::move(options)) {}

Conv1d::Conv1d(std::string path, Weight weight, Weight bias, op::ConvOptions options)
    : path_(std::move(path)),
      weight_(std::move(weight)),
      bias_(std::move(bias)),
      options_(std::move(options)) {}

Value Conv1d::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  const Value bias = bias_ ? x.graph().weight(bias_) : Value();
  return op::conv1d(x, weight, bias, options_);
}

Conv2d::Conv2d(const Scope& s, std::int64_t in, std::int64_t out, KernelSize kernel, bool bias,
               op::ConvOptions options)
    : path_(s.path()),
      weight_(s.weight("weight", {out, in / options.groups, kernel.height, kernel.width})),
      bias_(bias ? s.weight("bias", {out}) : Weight()),
      options_(std::move(options)) {}

Value Conv2d::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  const Value bias = bias_ ? x.graph().weight(bias_) : Value();
  return op::conv2d(x, weight, bias, options_);
}

Conv2d::Conv2d(std::string path, Weight weight, Weight bias, op::ConvOptions options)
    : path_(std::move(path)),
      weight_(std::move(weight)),
      bias_(std::move(bias)),
      options_(std::move(options)) {}

Value Conv2d::with_same_padding(Value x) const {
  Shape before(4, 0), after(4, 0);
  Conv2d padded = *this;
  padded.options_.padding.assign(4, 0);
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t kernel = weight_.shape()[i + 2];
    const std::int64_t stride = options_.stride.empty() ? 1 : options_.stride[i];
    const std::int64_t dilation = options_.dilation.empty() ? 1 : options_.dilation[i];
    const Dim& extent = x.dim(static_cast<std::int64_t>(i) + 2);
    // What the extent lacks to be a multiple of the stride, in two forms: so that all results of one stride
    // have the same symbolic extent, and so that what is divided by 2 is positive. A kernel of 1 needs none.
    const Dim lack = stride * (extent + (stride - 1)).floor_div(stride) - extent;
    const Dim odd = extent - stride * extent.floor_div(stride);
    const bool none = kernel < stride;
    before[i + 2] = none ? Dim(0) : (kernel - stride + odd).floor_div(2) * dilation;
    after[i + 2] = none ? Dim(0) : (kernel - stride + lack) * dilation - before[i + 2];
    // Padding that is equal for all sizes costs nothing inside the convolution.
    if (!before[i + 2].is_constant() || !after[i + 2].is_constant()) continue;
    padded.options_.padding[i] = *before[i + 2].constant();
    padded.options_.padding[i + 2] = *after[i + 2].constant();
    before[i + 2] = after[i + 2] = 0;
  }
  const bool outside = before != Shape(4, 0) || after != Shape(4, 0);
  return padded(outside ? op::pad(x, before, after) : x);
}

BatchNorm2d::BatchNorm2d(const Scope& s, std::int64_t channels, double eps) : path_(s.path()) {
  const auto read = [&](const char* name) { return s.weight(name, {channels}).cast(DType::f32); };
  const std::vector<double> added = {eps};
  const Weight deviation = read("running_var").add(Weight::from_doubles(DType::f32, {1}, added)).sqrt();
  scale_ = read("weight").div(deviation).named(path_ + ".scale");
  shift_ = read("bias").sub(read("running_mean").mul(scale_)).named(path_ + ".shift");
  s.ignore("num_batches_tracked");
}

Value BatchNorm2d::operator()(Value x) const {
  const ModulePath at(x, path_);
  const std::vector<std::int64_t> per_channel = {scale_.shape()[0], 1, 1};
  const Value scaled = op::mul(x, x.graph().weight(scale_.reshape(per_channel)));
  return op::add(scaled, x.graph().weight(shift_.reshape(per_channel)));
}

ConvTranspose2d::ConvTranspose2d(const Scope& s, std::int64_t in, std::int64_t out, KernelSize kernel,
                                 bool bias, op::ConvOptions options)
    : path_(s.path()),
      weight_(s.weight("weight", {in, out, kernel.height, kernel.width})),
      bias_(bias ? s.weight("bias", {out}) : Weight()),
      options_(std::move(options)) {}

Value ConvTranspose2d::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  const Value bias = bias_ ? x.graph().weight(bias_) : Value();
  return op::conv_transpose2d(x, weight, bias, options_);
}

GroupNorm::GroupNorm(const Scope& s, std::int64_t groups, std::int64_t channels, double eps)
    : path_(s.path()),
      groups_(groups),
      weight_(s.weight("weight", {channels})),
      bias_(s.weight("bias", {channels})),
      eps_(eps) {}

Value GroupNorm::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  const Value bias = x.graph().weight(bias_);
  return op::group_norm(x, groups_, weight, bias, eps_);
}

Weight weight_norm(const Scope& s, const std::vector<std::int64_t>& shape, std::int64_t axis) {
  std::vector<std::int64_t> lengths(shape.size(), 1);
  lengths.at(static_cast<std::size_t>(axis)) = shape.at(static_cast<std::size_t>(axis));
  // Computed in float32, because half precision would lose precision of the checkpoint.
  const Weight g = s.weight("parametrizations.weight.original0", lengths).cast(DType::f32);
  const Weight v = s.weight("parametrizations.weight.original1", shape).cast(DType::f32);
  return v.mul(g.div(v.norm_except(axis))).named((s / "weight").path());
}

}  // namespace onnxport::nn

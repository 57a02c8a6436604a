#include "models/vision/common/dpt_neck.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

/// Hidden states as an image at its own resolution.
struct Reassemble {
  std::string path;
  std::string readout_type;
  std::optional<nn::Linear> of_patches, of_cls;  // halves of one layer: the first token is the same for all
  nn::Activation activation;
  nn::Linear projection;
  std::optional<nn::ConvTranspose2d> up;
  std::optional<nn::Conv2d> down;

  // A 1 x 1 convolution, applied before tokens become an image.
  static nn::Linear one_pixel(const Scope& s, std::int64_t in, std::int64_t out) {
    const Weight weight = s.weight("weight", {out, in, 1, 1}).reshape({out, in});
    return {s.path(), weight, s.weight("bias", {out})};
  }

  Reassemble(const Scope& s, const DptNeckConfig& c, std::int64_t width, std::size_t i)
      : path((s / "layers" / static_cast<std::int64_t>(i)).path()),
        readout_type(c.readout_type),
        activation(c.hidden_act),
        projection(one_pixel(s / "layers" / static_cast<std::int64_t>(i) / "projection", width,
                             c.neck_hidden_sizes[i])) {
    const std::int64_t channels = c.neck_hidden_sizes[i];
    const double factor = c.reassemble_factors[i];
    const Scope resize = s / "layers" / static_cast<std::int64_t>(i) / "resize";
    if (factor > 1) {
      const auto times = static_cast<std::int64_t>(factor);
      up.emplace(resize, channels, channels, nn::KernelSize{times, times}, true,
                 op::ConvOptions{.stride = {times, times}});
    } else if (factor < 1) {
      const auto stride = static_cast<std::int64_t>(1 / factor);
      down.emplace(resize, channels, channels, nn::KernelSize{3, 3}, true,
                   op::ConvOptions{.stride = {stride, stride}, .padding = {1, 1}});
    }
    if (readout_type != "project") return;
    const Scope readout = s / "readout_projects" / static_cast<std::int64_t>(i) / 0;
    const Weight weight = readout.weight("weight", {width, 2 * width});
    of_patches.emplace(readout.path(), weight.slice(1, 0, width), Weight());
    of_cls.emplace(readout.path(), weight.slice(1, width, 2 * width), readout.weight("bias", {width}));
  }

  Value operator()(Value tokens, const Dim& rows, const Dim& columns) const {
    const ModulePath at(tokens, path);
    Value patches = op::slice(tokens, 1, 1, tokens.dim(1));
    if (readout_type != "ignore") {
      const Value cls = op::slice(tokens, 1, 0, 1);
      if (readout_type == "add") {
        patches = op::add(patches, cls);
      } else {
        const Value theirs = (*of_cls)(cls);
        patches = activation(op::add((*of_patches)(patches), theirs));
      }
    }
    const Value image = nn::tokens_to_image(projection(patches), rows, columns);
    if (up) return (*up)(image);
    return down ? (*down)(image) : image;
  }
};

}  // namespace

Value dpt_residual_unit(const Scope& s, const DptUnit& unit, Value x) {
  const auto step = [&](int i, Value y) {
    y = dpt_conv3x3(s / fmt::format("convolution{}", i), unit.width, unit.width, unit.bias)(op::relu(y));
    if (!unit.batch_norm) return y;
    return nn::BatchNorm2d(s / fmt::format("batch_norm{}", i), unit.width, unit.eps)(y);
  };
  const ModulePath at(x, s.path());
  const Value inner = step(1, x);
  return op::add(step(2, inner), x);
}

DptNeckConfig::DptNeckConfig(const PretrainedConfig& c) : DptNeckConfig(c, DptStep::twice) {
  readout_type = c.string("readout_type");
  hidden_act = c.string("hidden_act");
  unit.batch_norm = c.flag("use_batch_norm_in_fusion_residual");
  unit.bias = c.flag("use_bias_in_fusion_residual", !unit.batch_norm);
}

DptNeckConfig::DptNeckConfig(const PretrainedConfig& c, DptStep step)
    : fusion_hidden_size(c.integer("fusion_hidden_size")),
      neck_hidden_sizes(c.integers("neck_hidden_sizes")),
      reassemble_factors(c.reals("reassemble_factors")),
      origin(c.origin()),
      step(step) {
  unit.width = fusion_hidden_size;
  for (const double factor : reassemble_factors) {
    const bool in_range = factor >= 1.0 / 64 && factor <= 64;
    if (in_range && (factor <= 1 || factor == std::floor(factor))) continue;
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: reassemble_factors is [{}], known: whole numbers and fractions, 1/64 to 64", origin,
                    fmt::join(reassemble_factors, ", ")));
  }
  if (!neck_hidden_sizes.empty() && reassemble_factors.size() == neck_hidden_sizes.size() &&
      fusion_hidden_size > 0)
    return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: {} neck_hidden_sizes, {} reassemble_factors and fusion_hidden_size {} do not fit",
                  origin, neck_hidden_sizes.size(), reassemble_factors.size(), fusion_hidden_size));
}

Value dpt_head_input(const PretrainedConfig& config, const std::vector<Value>& fused) {
  const std::int64_t index = config.integer("head_in_index"), count = std::ssize(fused);
  if (index < -count || index >= count) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} neck_hidden_sizes and head_in_index {} do not fit", config.origin(),
                                  count, index));
  }
  return fused[static_cast<std::size_t>(index < 0 ? index + count : index)];
}

Value dpt_upsample(Value x) { return op::interpolate(x, {x.dim(2) * 2, x.dim(3) * 2}, "linear", true); }

nn::Conv2d dpt_conv3x3(const Scope& s, std::int64_t in, std::int64_t out, bool bias) {
  return {s, in, out, {3, 3}, bias, {.padding = {1, 1}}};
}

std::vector<Value> dpt_images(const Scope& s, const DptNeckConfig& c, const DptStates& encoded) {
  if (encoded.states.size() != c.neck_hidden_sizes.size()) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} hidden states for {} neck_hidden_sizes", c.origin,
                                  encoded.states.size(), c.neck_hidden_sizes.size()));
  }
  std::vector<Value> images;
  for (std::size_t i = 0; i < encoded.states.size(); ++i) {
    Value x = encoded.states[i];
    if (x.rank() == 3)
      x = Reassemble(s / "reassemble_stage", c, encoded.hidden_size, i)(x, encoded.rows, encoded.columns);
    const Scope conv = s / "convs" / static_cast<std::int64_t>(i);
    images.push_back(dpt_conv3x3(conv, c.neck_hidden_sizes[i], c.fusion_hidden_size, false)(x));
  }
  return images;
}

std::vector<Value> dpt_fusion(const Scope& s, const DptNeckConfig& c, std::vector<Value> images,
                              const DptBeforeResizing& before_resizing) {
  std::reverse(images.begin(), images.end());
  const Scope layers = s / "fusion_stage" / "layers";
  (layers / 0).ignore("residual_layer1");  // the first step has nothing to add
  std::vector<Value> fused;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Scope layer = layers / static_cast<std::int64_t>(i);
    Value x = images[i];
    const ModulePath at(x, layer.path());
    if (!fused.empty()) {
      const Value before = fused.back();
      // If strides left a remainder, sizes differ.
      if (x.shape() != before.shape()) x = op::interpolate(x, {before.dim(2), before.dim(3)}, "linear");
      x = op::add(before, dpt_residual_unit(layer / "residual_layer1", c.unit, x));
    }
    x = dpt_residual_unit(layer / "residual_layer2", c.unit, x);
    if (before_resizing) x = before_resizing(layer, x);
    const nn::Conv2d projection(layer / "projection", c.fusion_hidden_size, c.fusion_hidden_size, {1, 1});
    if (c.step == DptStep::to_next && i + 1 < images.size()) {
      const Value next = images[i + 1];
      x = op::interpolate(x, {next.dim(2), next.dim(3)}, "linear", true);
    } else {
      x = dpt_upsample(x);
    }
    fused.push_back(projection(x));
  }
  return fused;
}

std::vector<Value> dpt_neck(const Scope& s, const DptNeckConfig& c, const DptStates& encoded,
                            const DptBeforeResizing& before_resizing) {
  return dpt_fusion(s, c, dpt_images(s, c, encoded), before_resizing);
}

}  // namespace onnxport::models

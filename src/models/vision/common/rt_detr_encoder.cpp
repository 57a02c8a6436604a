#include <fmt/format.h>

#include <cmath>

#include "models/vision/common/detector_backbone.h"
#include "models/vision/common/rt_detr.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

// Parallel convolutions of 3 x 3 and 1 x 1 pixels.
ImagePart parallel_block(const Scope& s, std::int64_t width, const RtDetrConfig& c) {
  const ImagePart wide = rt_detr_conv(s / "conv1", width, width, 3, 1, c, "");
  const ImagePart narrow = rt_detr_conv(s / "conv2", width, width, 1, 1, c, "");
  return [=, activation = c.activation](Value x) {
    const Value second = narrow(x);
    const Value sum = op::add(wide(x), second);
    return activation.empty() ? sum : nn::Activation(activation)(sum);
  };
}

// Sines and cosines of the row, then of the column: [1, H * W, width].
Value pixel_positions(Value map, const RtDetrConfig& c) {
  Graph& graph = map.graph();
  const std::int64_t quarter = c.encoder_hidden_dim / 4;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < quarter; ++i)
    frequencies.push_back(std::pow(c.temperature, -static_cast<double>(i) / static_cast<double>(quarter)));
  const Value table = graph.weight_as_is(Weight::from_doubles(DType::f32, {quarter}, frequencies));
  const auto waves = [&](const Dim& extent) {
    const Value place = op::cast(op::arange(graph, extent), DType::f32);
    const Value angles = op::mul(op::unsqueeze(place, 1), table);
    const Value sine = op::sin(angles);
    return op::concat({sine, op::cos(angles)}, 1);
  };
  const Dim &height = map.dim(2), &width = map.dim(3);
  const Value across = waves(width), down = waves(height);
  // Transformers 4 lists the pixels column by column, but adds them to the tokens row by row.
  const Shape all = c.by_column ? Shape{width, height, 2 * quarter} : Shape{height, width, 2 * quarter};
  const Value slow = op::expand(op::unsqueeze(c.by_column ? across : down, 1), all);
  const Value fast = op::expand(op::unsqueeze(c.by_column ? down : across, 0), all);
  const Value both = op::reshape(op::concat({slow, fast}, 2), {1, height * width, 4 * quarter});
  return op::cast(both, map.dtype());
}

// If norms come first, the second residual is behind its norm, unlike elsewhere.
Value attention_layer(const Scope& s, const RtDetrConfig& c, Value x, Value positions) {
  const std::int64_t width = c.encoder_hidden_dim;
  const nn::LayerNorm first(s / "self_attn_layer_norm", width, c.layer_norm_eps);
  const nn::LayerNorm last(s / "final_layer_norm", width, c.layer_norm_eps);
  const bool before = c.encoder_norms == NormPlace::before;
  const ModulePath at(x, s.path());
  const Value y = before ? first(x) : x;
  const Value placed = op::add(y, positions);
  x = op::add(x, DetrAttention(s / "self_attn", width, c.encoder_heads)(placed, placed, y));
  x = before ? last(x) : first(x);
  const Value inner =
      nn::Activation(c.encoder_activation)(nn::Linear(s / "fc1", width, c.encoder_ffn_dim)(x));
  x = op::add(x, nn::Linear(s / "fc2", c.encoder_ffn_dim, width)(inner));
  return before ? x : last(x);
}

}  // namespace

ImagePart rt_detr_conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                       std::int64_t stride, const RtDetrConfig& c, const std::string& activation,
                       std::int64_t groups) {
  const std::int64_t around = (kernel - 1) / 2;
  const op::ConvOptions options = {.stride = {stride, stride}, .padding = {around, around}, .groups = groups};
  nn::NormedConv2d conv = {nn::Conv2d(s / "conv", in, out, {kernel, kernel}, false, options),
                           nn::BatchNorm2d(s / "norm", out, c.batch_norm_eps)};
  if (activation.empty()) return conv;
  return [conv, activation = nn::Activation(activation)](Value x) { return activation(conv(x)); };
}

ImagePart csp_rep_layer(const Scope& s, std::int64_t in, std::int64_t inner, std::int64_t out,
                        std::int64_t blocks, const RtDetrConfig& c) {
  const ImagePart first = rt_detr_conv(s / "conv1", in, inner, 1, 1, c, c.activation);
  const ImagePart second = rt_detr_conv(s / "conv2", in, inner, 1, 1, c, c.activation);
  std::vector<ImagePart> bottlenecks;
  for (std::int64_t i = 0; i < blocks; ++i)
    bottlenecks.push_back(parallel_block(s / "bottlenecks" / i, inner, c));
  const ImagePart third = inner != out ? rt_detr_conv(s / "conv3", inner, out, 1, 1, c, c.activation)
                                       : ImagePart([](Value x) { return x; });
  return [=](Value x) {
    Value deep = first(x);
    for (const ImagePart& one : bottlenecks) deep = one(deep);
    return third(op::add(deep, second(x)));
  };
}

std::vector<Value> hybrid_encoder(const Scope& s, const RtDetrConfig& c, std::vector<Value> maps,
                                  const PyramidParts& parts) {
  const ModulePath at(maps.front(), s.path());
  for (std::size_t i = 0; i < c.encode_proj_layers.size() && c.encoder_layers > 0; ++i) {
    Value& map = maps[static_cast<std::size_t>(c.encode_proj_layers[i])];
    const Value positions = pixel_positions(map, c);
    Value tokens = nn::image_to_tokens(map);
    const Scope layers = s / "encoder" / static_cast<std::int64_t>(i) / "layers";
    for (std::int64_t j = 0; j < c.encoder_layers; ++j)
      tokens = attention_layer(layers / j, c, tokens, positions);
    map = nn::tokens_to_image(tokens, map.dim(2), map.dim(3));
  }
  // From the smallest map to the largest.
  const auto last = static_cast<std::int64_t>(maps.size()) - 1;
  for (std::int64_t i = 0; i < last; ++i) {
    Value& smaller = maps[static_cast<std::size_t>(last - i)];
    Value& larger = maps[static_cast<std::size_t>(last - i - 1)];
    smaller = parts.lateral(s / "lateral_convs" / i)(smaller);
    const Value grown = op::interpolate(smaller, {larger.dim(2), larger.dim(3)}, "nearest");
    larger = parts.fpn(s / "fpn_blocks" / i)(op::concat({grown, larger}, 1));
  }
  for (std::int64_t i = 0; i < last; ++i) {
    Value& smaller = maps[static_cast<std::size_t>(i + 1)];
    const Value shrunk = parts.downsample(s / "downsample_convs" / i)(maps[static_cast<std::size_t>(i)]);
    smaller = parts.pan(s / "pan_blocks" / i)(op::concat({shrunk, smaller}, 1));
  }
  return maps;
}

std::vector<Value> rt_detr_features(const TasksManager& tasks, const Scope& base, const PretrainedConfig& c,
                                    const RtDetrConfig& sizes, Value pixel_values,
                                    const std::string& default_backbone) {
  if (c.has("backbone") || c.flag("use_timm_backbone", false)) {
    throw ExportError(ErrorCode::unsupported,
                      c.origin() + ": a backbone by name or of timm, expected a backbone_config");
  }
  c.harmless({"backbone_kwargs"});  // of a backbone by name
  PretrainedConfig backbone = c.sub("backbone_config", c.has("backbone_config") ? "" : default_backbone);
  if (!c.has("backbone_config")) backbone = backbone.settled("out_indices", "[2, 3, 4]");
  const ModulePath at(pixel_values, base.path());
  std::vector<Value> maps =
      registered_backbone(tasks, base / "backbone" / "model", c, backbone, pixel_values);
  if (maps.size() != sizes.encoder_in_channels.size()) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: the backbone returns {} maps, but encoder_in_channels are {}",
                                  c.origin(), maps.size(), sizes.encoder_in_channels.size()));
  }
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const Scope s = base / "encoder_input_proj" / static_cast<std::int64_t>(i);
    const nn::Conv2d conv(s / 0, *maps[i].dim(1).constant(), sizes.encoder_hidden_dim, {1, 1}, false);
    maps[i] = nn::NormedConv2d{conv, nn::BatchNorm2d(s / 1, sizes.encoder_hidden_dim)}(maps[i]);
  }
  return maps;
}

}  // namespace onnxport::models

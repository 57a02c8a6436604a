// SuperPoint: key points with their descriptors. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/superpoint/modeling_superpoint.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "models/vision/common/key_points.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kCell = 8;  // pixels per feature, in each direction

struct Config {
  std::vector<std::int64_t> encoder_sizes;
  std::int64_t decoder_size, descriptor_size, nms_radius, border, max_keypoints;
  double threshold;

  explicit Config(const PretrainedConfig& c)
      : encoder_sizes(c.integers("encoder_hidden_sizes")),
        decoder_size(c.integer("decoder_hidden_size")),
        descriptor_size(c.integer("descriptor_decoder_dim")),
        nms_radius(c.integer("nms_radius")),
        border(c.integer("border_removal_distance")),
        max_keypoints(c.integer("max_keypoints")),
        threshold(c.real("keypoint_threshold")) {
    const auto bad = [](std::int64_t n) { return n < 1 || n > 1 << 16; };
    const std::int64_t classes = c.integer("keypoint_decoder_dim");
    if (encoder_sizes.size() != 4 || std::any_of(encoder_sizes.begin(), encoder_sizes.end(), bad) ||
        bad(decoder_size) || bad(descriptor_size) || nms_radius < 0 || nms_radius > 64 || border < 0 ||
        max_keypoints == 0 || max_keypoints > 1 << 20 || classes != kCell * kCell + 1) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: encoder_hidden_sizes [{}], decoder_hidden_size {}, descriptor_decoder_dim {}, "
              "nms_radius {}, border_removal_distance {}, max_keypoints {} and keypoint_decoder_dim {}; "
              "expected 4 sizes, positive numbers, a radius up to 64, and 65 classes",
              c.origin(), fmt::join(encoder_sizes, ", "), decoder_size, descriptor_size, nms_radius, border,
              max_keypoints, classes));
    }
  }
};

class SuperPointOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName outputs() const override {
    const Axes points = {{0, "batch_size"}, {1, "num_keypoints"}};
    return {{"keypoints", points}, {"scores", points}, {"descriptors", points}, {"mask", points}};
  }
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    return symbol == "num_keypoints" ? key_point_count() : VisionOnnxConfig::axis_length(tensor, symbol);
  }
  // With fewer pixels than points, the graph fails.
  ImageSize smallest_image() const override {
    const std::int64_t most = Config(config().unaccounted()).max_keypoints;
    std::int64_t side = kCell;
    while (side * side < most) side += kCell;
    return {side, side};
  }
};

// A convolution in float32 whatever the dtype of the graph: thresholds and ties decide which points there
// are.
Value conv(const Scope& s, std::int64_t out, std::int64_t kernel, Value x) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const std::int64_t in = *x.dim(1).constant();
  const Weight weight = s.weight("weight", {out, in, kernel, kernel}).cast(DType::f32);
  const Weight bias = s.weight("bias", {out}).cast(DType::f32);
  const Value shift = graph.weight_as_is(bias);
  return op::conv2d(x, graph.weight_as_is(weight), shift, {.padding = {kernel / 2, kernel / 2}});
}

// [B, 3, H, W] -> [B, C, H / 8, W / 8]: of the first channel, as all are the same.
Value encode(const Scope& s, const Config& c, Value pixel_values) {
  Value x = op::cast(op::slice(pixel_values, 1, 0, 1), DType::f32);
  for (std::size_t i = 0; i < c.encoder_sizes.size(); ++i) {
    const Scope block = s / "conv_blocks" / static_cast<std::int64_t>(i);
    x = op::relu(conv(block / "conv_a", c.encoder_sizes[i], 3, x));
    x = op::relu(conv(block / "conv_b", c.encoder_sizes[i], 3, x));
    if (i + 1 < c.encoder_sizes.size()) x = op::max_pool2d(x, {2, 2});
  }
  return x;
}

// The score of each pixel: [B, H, W]. The last class says that a cell has no point.
Value pixel_scores(const Scope& s, const Config& c, Value features) {
  const Value inner = op::relu(conv(s / "conv_score_a", c.decoder_size, 3, features));
  const Value classes = op::softmax(conv(s / "conv_score_b", kCell * kCell + 1, 1, inner), 1);
  const Value image = nn::pixel_shuffle(op::slice(classes, 1, 0, kCell * kCell), kCell);
  return op::squeeze(local_maxima(image, c.nms_radius), 1);
}

// One vector for each feature: [B, D, h, w].
Value dense_descriptors(const Scope& s, const Config& c, Value features) {
  const Value inner = op::relu(conv(s / "conv_descriptor_a", c.decoder_size, 3, features));
  return op::normalize(conv(s / "conv_descriptor_b", c.descriptor_size, 1, inner), 1);
}

// The place of pixels [B, N] of an axis among the features of that axis.
Value among_features(Value pixels, const Dim& features) {
  Graph& graph = pixels.graph();
  const Value last = op::cast(op::size(graph, features - 1), DType::f32);
  const Value extent = op::sub(op::cast(op::size(graph, features * kCell), DType::f32), kCell / 2.0 + 0.5);
  const Value place = op::sub(op::cast(pixels, DType::f32), kCell / 2.0 - 0.5);
  return op::mul(op::div(place, extent), last);
}

// The part of an image's extent [B, N].
Value relative(Value pixels, const Dim& extent) {
  const Value whole = op::cast(op::size(pixels.graph(), extent), DType::f32);
  return op::div(op::cast(pixels, DType::f32), whole);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value pixel_values = inputs["pixel_values"];
  const Value features = encode(root / "encoder", c, pixel_values);
  const Value scores = pixel_scores(root / "keypoint_decoder", c, features);
  const KeyPoints points =
      key_points(scores, {.threshold = c.threshold, .border = c.border, .most = c.max_keypoints});
  const Value descriptors = dense_descriptors(root / "descriptor_decoder", c, features);
  const Value down = among_features(points.rows, features.dim(2));
  const Value across = among_features(points.columns, features.dim(3));
  const Value sampled = op::normalize(bilinear_at(descriptors, down, across), 2);

  const DType dtype = pixel_values.graph().float_dtype();
  const Value real = op::cast(points.real, DType::f32);
  const Value x = op::unsqueeze(op::mul(relative(points.columns, pixel_values.dim(3)), real), 2);
  const Value y = op::unsqueeze(op::mul(relative(points.rows, pixel_values.dim(2)), real), 2);
  const Value masked = op::mul(sampled, op::unsqueeze(real, 2));
  return {{"keypoints", op::cast(op::concat({x, y}, 2), dtype)},
          {"scores", op::cast(op::mul(points.scores, real), dtype)},
          {"descriptors", op::cast(masked, dtype)},
          {"mask", op::cast(points.real, DType::i32)}};
}

}  // namespace

void register_superpoint(TasksManager& tasks) {
  tasks.register_model<SuperPointOnnxConfig>(
      {.model_type = "superpoint", .tasks = {"keypoint-detection"}, .forward = forward});
}

}  // namespace onnxport::models

// GLPN: SegFormer's encoder and a decoder that estimates depth. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/glpn/modeling_glpn.py
#include <fmt/format.h>

#include "models/vision/common/segformer.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

struct Config : SegformerEncoderConfig {
  std::int64_t decoder_hidden_size, head_in_index;
  double max_depth;

  explicit Config(const PretrainedConfig& c)
      : SegformerEncoderConfig(c),
        decoder_hidden_size(c.integer("decoder_hidden_size")),
        head_in_index(c.integer("head_in_index")),
        max_depth(c.real("max_depth")) {
    const std::int64_t count = std::ssize(stages);
    if (head_in_index < 0) head_in_index += count;
    if (head_in_index < 0 || head_in_index >= count || decoder_hidden_size < 2 ||
        decoder_hidden_size > 1 << 20) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: head_in_index is {} and decoder_hidden_size {}, expected one of the "
                                    "{} stages and at least 2",
                                    c.origin(), c.integer("head_in_index"), decoder_hidden_size, count));
    }
  }
};

nn::Conv2d conv3x3(const Scope& s, std::int64_t in, std::int64_t out) {
  return {s, in, out, {3, 3}, true, {.padding = {1, 1}}};
}

Value twice(Value x) { return op::interpolate(x, {x.dim(2) * 2, x.dim(3) * 2}, "linear"); }

// The sum of two images, each weighted by a map that is computed from both. If strides left a remainder, the
// second one is larger; the original takes only sizes without one.
Value fuse(const Scope& s, std::int64_t width, Value local, Value global) {
  const ModulePath at(local, s.path());
  for (const std::int64_t axis : {2, 3}) {
    if (global.dim(axis) != local.dim(axis)) global = op::slice(global, axis, 0, local.dim(axis));
  }
  const Scope first = s / "convolutional_layer1", second = s / "convolutional_layer2";
  Value x = conv3x3(first / 0, 2 * width, width)(op::concat({local, global}, 1));
  x = op::relu(nn::BatchNorm2d(first / 1, width)(x));
  x = conv3x3(second / 0, width, width / 2)(x);
  x = op::relu(nn::BatchNorm2d(second / 1, width / 2)(x));
  x = op::sigmoid(conv3x3(s / "convolutional_layer3", width / 2, 2)(x));
  const std::vector<Value> maps = op::split(x, 1, {1, 1});
  const Value weighted = op::mul(local, maps[0]);
  return op::add(weighted, op::mul(global, maps[1]));
}

// The image of each step, from the last stage to the first.
std::vector<Value> decode(const std::vector<SegformerTokens>& stages, const Scope& s, const Config& c) {
  std::vector<Value> images;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::size_t number = stages.size() - 1 - i;
    const Scope stage = s / static_cast<std::int64_t>(i);
    const ModulePath at(stages[number].rows, stage.path());
    const std::int64_t in = c.stages[number].width, out = c.decoder_hidden_size;
    Value x = stages[number].image();
    if (in != out) x = nn::Conv2d(stage / "convolution", in, out, {1, 1})(x);
    if (i > 0) x = fuse(stage / "fusion", out, x, images.back());
    images.push_back(twice(x));
  }
  images.back() = twice(images.back());
  return images;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const std::vector<SegformerTokens> stages =
      segformer_stages(root.base_model("glpn") / "encoder", c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", stages.back().image()}};
  const std::vector<Value> images = decode(stages, root / "decoder" / "stages", c);
  const Scope head = root / "head" / "head";
  const std::int64_t width = c.decoder_hidden_size;
  const Value mixed = conv3x3(head / 0, width, width)(images[static_cast<std::size_t>(c.head_in_index)]);
  const Value depth = op::sigmoid(conv3x3(head / 2, width, 1)(op::relu(mixed)));
  return {{"predicted_depth", op::squeeze(op::mul(depth, c.max_depth), 1)}};
}

}  // namespace

void register_glpn(TasksManager& tasks) {
  tasks.register_model<SegformerOnnxConfig>(
      {.model_type = "glpn", .tasks = {"feature-extraction", "depth-estimation"}, .forward = forward});
}

}  // namespace onnxport::models

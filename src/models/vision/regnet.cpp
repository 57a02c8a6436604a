// RegNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/regnet/modeling_regnet.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t num_channels, embedding_size, num_labels, groups_width;
  std::vector<std::int64_t> hidden_sizes, depths;
  std::string hidden_act;
  bool downsample_in_first_stage, squeezes;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        embedding_size(c.integer("embedding_size")),
        num_labels(c.num_labels()),
        groups_width(divisor(c, "groups_width")),
        hidden_sizes(per_stage(c, "hidden_sizes", stage_count(c, "hidden_sizes"))),
        depths(per_stage(c, "depths", std::ssize(hidden_sizes))),
        hidden_act(c.string("hidden_act")),
        downsample_in_first_stage(shrinks_first(c)),
        squeezes(layer_type(c) == "y") {}

 private:
  // Before version 5, the original class sets this to true, whatever the file says.
  static bool shrinks_first(const PretrainedConfig& c) {
    const bool given = c.flag("downsample_in_first_stage", true);
    return given || c.transformers_major() < 5;
  }

  static std::string layer_type(const PretrainedConfig& c) {
    std::string type = c.string("layer_type");
    if (type == "x" || type == "y") return type;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: layer_type is '{}', expected x or y", c.origin(), type));
  }
};

// 1x1, grouped 3x3, 1x1, with gates of channels before the last one ("y"), and a shortcut around them.
Value run_layer(Value x, const Scope& s, const Config& c, std::int64_t in, std::int64_t out,
                std::int64_t stride) {
  const ModulePath at(x, s.path());
  const Scope layer = s / "layer";
  const std::int64_t groups = std::max<std::int64_t>(1, out / c.groups_width);
  Value y = nn::ConvLayer(layer / 0, {.in = in, .out = out, .activation = c.hidden_act})(x);
  y = nn::ConvLayer(
      layer / 1,
      {.in = out, .out = out, .kernel = 3, .stride = stride, .groups = groups, .activation = c.hidden_act})(
      y);
  if (c.squeezes) {
    const auto reduced = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(in) / 4));
    y = nn::SqueezeExcite(layer / 2 / "attention",
                          {.channels = out, .reduced = reduced, .reduce = "0", .expand = "2"})(y);
  }
  y = nn::ConvLayer(layer / (c.squeezes ? 3 : 2), {.in = out, .out = out})(y);
  if (in != out || stride != 1)
    x = nn::ConvLayer(s / "shortcut", {.in = in, .out = out, .stride = stride})(x);
  return nn::Activation(c.hidden_act)(op::add(y, x));
}

// [B, num_channels, H, W] -> [B, C, H', W']
Value encode(const Scope& s, const Config& c, Value pixel_values) {
  std::int64_t in = c.embedding_size;
  Value x = nn::ConvLayer(
      s / "embedder" / "embedder",
      {.in = c.num_channels, .out = in, .kernel = 3, .stride = 2, .activation = c.hidden_act})(pixel_values);
  for (std::size_t i = 0; i < c.hidden_sizes.size(); ++i) {
    const Scope layers = s / "encoder" / "stages" / static_cast<std::int64_t>(i) / "layers";
    for (std::int64_t j = 0; j < c.depths[i]; ++j) {
      const std::int64_t stride = j == 0 && (i > 0 || c.downsample_in_first_stage) ? 2 : 1;
      x = run_layer(x, layers / j, c, in, c.hidden_sizes[i], stride);
      in = c.hidden_sizes[i];
    }
  }
  return x;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("regnet"), c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const nn::Linear classifier(root / "classifier" / 1, c.hidden_sizes.back(), c.num_labels);
  return {{"logits", classifier(nn::global_average_pool(hidden))}};
}

}  // namespace

void register_regnet(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "regnet", .tasks = {"feature-extraction", "image-classification"}, .forward = forward});
}

}  // namespace onnxport::models

// Depth Anything. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/depth_anything/modeling_depth_anything.py
#include "models/vision/common/depth_anything.h"

#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaultBackbone = R"({"model_type": "dinov2", "image_size": 518, "hidden_size": 384,
    "num_attention_heads": 6, "out_indices": [9, 10, 11, 12], "reshape_hidden_states": false})";

}  // namespace

DepthAnythingConfig::DepthAnythingConfig(const PretrainedConfig& c)
    : DptNeckConfig(c, DptStep::to_next),
      patch_size(c.integer("patch_size")),
      head_hidden_size(c.integer("head_hidden_size")),
      max_depth(c.real("max_depth", 1.0)),
      metric(c.string("depth_estimation_type") == "metric") {
  c.harmless({"reassemble_hidden_size"});  // the width of the backbone
  if (max_depth == 0) max_depth = 1;
  if (const std::string type = c.string("depth_estimation_type"); !metric && type != "relative") {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: depth_estimation_type is '{}', known: relative, metric", origin, type));
  }
  constexpr std::int64_t most = std::int64_t{1} << 20;
  if (patch_size < 1 || patch_size > most || head_hidden_size < 1 || head_hidden_size > most) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: patch_size is {} and head_hidden_size {}, expected 1 to {}", origin,
                                  patch_size, head_hidden_size, most));
  }
}

DptStates depth_anything_tokens(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                                Value pixel_values) {
  const PretrainedConfig backbone = own_backbone_config(config, kDefaultBackbone);
  return dpt_tokens(tasks, root / "backbone", config, backbone, pixel_values);
}

Value depth_anything_head(const Scope& s, const DepthAnythingConfig& c, Value x, const Dim& rows,
                          const Dim& columns) {
  const ModulePath at(x, s.path());
  const std::int64_t half = c.fusion_hidden_size / 2;
  x = dpt_conv3x3(s / "conv1", c.fusion_hidden_size, half)(x);
  x = op::interpolate(x, {rows * c.patch_size, columns * c.patch_size}, "linear", true);
  x = op::relu(dpt_conv3x3(s / "conv2", half, c.head_hidden_size)(x));
  x = nn::Conv2d(s / "conv3", c.head_hidden_size, 1, {1, 1})(x);
  return c.metric ? op::sigmoid(x) : op::relu(x);
}

namespace {

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const DepthAnythingConfig c(config);
  const Scope root = model.scope();
  const DptStates encoded = depth_anything_tokens(tasks, root, config, inputs["pixel_values"]);
  const Value features = dpt_head_input(config, dpt_neck(root / "neck", c, encoded));
  const Value depth = depth_anything_head(root / "head", c, features, encoded.rows, encoded.columns);
  return {{"predicted_depth", op::squeeze(op::mul(depth, c.max_depth), 1)}};
}

}  // namespace

void register_depth_anything(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "depth_anything",
       .tasks = {"depth-estimation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& /*component*/) {
         return forward(tasks, inputs, model);
       }});
}

}  // namespace onnxport::models

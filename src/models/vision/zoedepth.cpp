// ZoeDepth: metric depth behind a head for relative depth. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/zoedepth/modeling_zoedepth.py
#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "models/vision/common/dpt_neck.h"
#include "models/vision/common/zoedepth_head.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaultBackbone = R"({"model_type": "beit", "image_size": 384, "num_hidden_layers": 24,
    "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
    "use_relative_position_bias": true, "reshape_hidden_states": false,
    "out_features": ["stage6", "stage12", "stage18", "stage24"]})";

struct Config : DptNeckConfig {
  ZoeHeadConfig head;
  bool add_projection;

  explicit Config(const PretrainedConfig& c)
      : DptNeckConfig(c), head(c), add_projection(c.flag("add_projection")) {
    unit.eps = c.real("batch_norm_eps");
    c.harmless({"backbone_hidden_size"});  // that of the backbone
    if (readout_type != "project") {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: readout_type is '{}', which the original cannot compute; expected "
                                    "'project'",
                                    origin, readout_type));
    }
  }
};

DptStates encode(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                 Value pixel_values) {
  const PretrainedConfig backbone = own_backbone_config(config, kDefaultBackbone);
  BackboneFeatures features = run_backbone(tasks, root / "backbone", backbone, pixel_values);
  const Value last = features.stages.back();
  if (last.rank() == 4) return {std::move(features.stages)};
  if (learned_before(features) != 1) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: a backbone of type '{}' returns {}, expected tokens behind one class "
                                  "token, or images",
                                  config.origin(), backbone.model_type(), to_string(last.type())));
  }
  return {std::move(features.stages), *last.dim(2).constant(), features.rows, features.columns};
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope(), head = root / "relative_head";
  const DptStates encoded = encode(tasks, root, config, inputs["pixel_values"]);
  const std::vector<Value> images = dpt_images(root / "neck", c, encoded);
  const std::vector<Value> fused = dpt_fusion(root / "neck", c, images);

  Value x = dpt_head_input(config, fused);
  constexpr std::int64_t projection_width = 256;  // as it is in the original's code
  if (c.add_projection) x = op::relu(dpt_conv3x3(head / "projection", projection_width, projection_width)(x));
  const std::int64_t half = c.fusion_hidden_size / 2, width = c.head.num_relative_features;
  x = dpt_upsample(dpt_conv3x3(head / "conv1", c.fusion_hidden_size, half)(x));
  const Value conditions = op::relu(dpt_conv3x3(head / "conv2", half, width)(x));
  const Value relative = op::relu(nn::Conv2d(head / "conv3", width, 1, {1, 1})(conditions));
  const Value depth = zoe_metric_head(
      root / "metric_head", c.head,
      {.conditions = conditions, .bottleneck = images.back(), .blocks = fused, .relative_depth = relative});
  return {{"predicted_depth", op::squeeze(depth, 1)}};
}

}  // namespace

void register_zoedepth(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "zoedepth",
       .tasks = {"depth-estimation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& /*component*/) {
         return forward(tasks, inputs, model);
       }});
}

}  // namespace onnxport::models

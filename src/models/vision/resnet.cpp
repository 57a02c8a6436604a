// ResNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/resnet/modeling_resnet.py
#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

nn::ResNetLayer resnet_layer(const PretrainedConfig& c) {
  const std::string layer_type = c.string("layer_type");
  const bool early = c.flag("downsample_in_bottleneck");
  if (layer_type != "bottleneck" && layer_type != "basic") {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: layer_type '{}', expected bottleneck or basic",
                                                         c.origin(), layer_type));
  }
  if (layer_type == "basic") return nn::ResNetLayer::basic;
  return early ? nn::ResNetLayer::bottleneck_v1 : nn::ResNetLayer::bottleneck;
}

// Throws ExportError(bad_config) for an unknown layer_type.
nn::ResNetParameters resnet_parameters(const PretrainedConfig& c) {
  return {.num_channels = c.integer("num_channels"),
          .embedding_size = c.integer("embedding_size"),
          .hidden_sizes = c.integers("hidden_sizes"),
          .depths = c.integers("depths"),
          .layer = resnet_layer(c),
          .activation = c.string("hidden_act"),
          .downsample_in_first_stage = c.flag("downsample_in_first_stage")};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const nn::ResNetParameters p = resnet_parameters(model.config());
  // The stages for a backbone; these tasks use the last one.
  model.config().harmless({"out_features", "out_indices", "stage_names"});
  const Scope root = model.scope();
  const nn::ResNet resnet(root.base_model("resnet"), p);
  const Value hidden = resnet(inputs["pixel_values"]).back();
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const nn::Linear classifier(root / "classifier" / 1, p.hidden_sizes.back(), model.config().num_labels());
  return {{"logits", classifier(nn::global_average_pool(hidden))}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const nn::ResNetParameters p = resnet_parameters(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(p.depths));
  config.harmless({"stage_names"});
  return stage_features(nn::ResNet(s, p)(pixel_values), stages);
}

}  // namespace

void register_resnet(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "resnet",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward,
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models

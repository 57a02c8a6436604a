// ViTPose: heatmaps of key points behind a backbone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vitpose/modeling_vitpose.py
#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaultBackbone = R"({"model_type": "vitpose_backbone", "out_indices": [4]})";

/// Images of one size, that of the backbone.
class VitPoseOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
  NormalizedConfig normalized_config() const override {
    return NormalizedVisionConfig(own_backbone_config(config().unaccounted(), kDefaultBackbone));
  }
};

Value simple_decoder(const Scope& s, const PretrainedConfig& config, Value x) {
  const std::int64_t factor = config.integer("scale_factor");
  if (factor < 1 || factor > 64) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: scale_factor is {}, expected 1 to 64", config.origin(), factor));
  }
  const Value large = op::interpolate(op::relu(x), {x.dim(2) * factor, x.dim(3) * factor}, "linear");
  const std::int64_t width = *x.dim(1).constant();
  return nn::Conv2d(s / "conv", width, config.num_labels(), {3, 3}, true, {.padding = {1, 1}})(large);
}

Value classic_decoder(const Scope& s, const PretrainedConfig& config, Value x) {
  config.harmless({"scale_factor"});
  constexpr std::int64_t width = 256;  // as it is in the original's code
  for (int i = 1; i <= 2; ++i) {
    const nn::ConvTranspose2d deconv(s / fmt::format("deconv{}", i), *x.dim(1).constant(), width, {4, 4},
                                     false, {.stride = {2, 2}, .padding = {1, 1}});
    x = op::relu(nn::BatchNorm2d(s / fmt::format("batchnorm{}", i), width)(deconv(x)));
  }
  return nn::Conv2d(s / "conv", width, config.num_labels(), {1, 1})(x);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const Scope root = model.scope();
  const PretrainedConfig backbone = own_backbone_config(config, kDefaultBackbone);
  const BackboneFeatures features = run_backbone(tasks, root / "backbone", backbone, inputs["pixel_values"]);
  const Value tokens = features.stages.back();
  if (learned_before(features) != 0) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: a backbone of type '{}' does not return tokens of patches alone",
                                  config.origin(), backbone.model_type()));
  }
  if (backbone.integer("num_experts", 1) > 1)
    model.add_notice("the experts of the first data set are exported (dataset_index 0)");
  const Value image = nn::tokens_to_image(tokens, features.rows, features.columns);
  const bool simple = config.flag("use_simple_decoder");
  const Scope head = root / "head";
  return {{"heatmaps", simple ? simple_decoder(head, config, image) : classic_decoder(head, config, image)}};
}

}  // namespace

void register_vitpose(TasksManager& tasks) {
  tasks.register_model<VitPoseOnnxConfig>(
      {.model_type = "vitpose",
       .tasks = {"keypoint-detection"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& /*component*/) {
         return forward(tasks, inputs, model);
       }});
}

}  // namespace onnxport::models

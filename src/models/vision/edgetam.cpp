// EdgeTAM, for images: SAM 2 with a RepViT of the library timm as image encoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/edgetam/modeling_edgetam.py
#include <fmt/format.h>

#include "models/vision/common/repvit.h"
#include "models/vision/common/sam2.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

constexpr const char* kBackbone = R"({"architecture": "repvit_m1", "model_args": {"in_chans": 3,
    "features_only": true, "out_indices": [0, 1, 2, 3]}})";

std::vector<Value> encode(const Scope& /*root*/, const Scope& base, const PretrainedConfig& c,
                          Value pixel_values) {
  const PretrainedConfig backbone = c.has("backbone_config")
                                        ? c.sub("backbone_config", "timm_wrapper")
                                        : PretrainedConfig::from_json(kBackbone, c.origin(), "timm_wrapper");
  const auto refuse = [&](ErrorCode code, const std::string& what) {
    throw ExportError(code, fmt::format("{}: {}", c.origin(), what));
  };
  if (backbone.model_type() != "timm_wrapper")
    refuse(ErrorCode::unsupported,
           fmt::format("a backbone of type '{}' in vision_config, expected timm_wrapper",
                       backbone.model_type()));
  // Of the last features, which are not looked at.
  backbone.harmless({"do_pooling", "initializer_range"});
  if (!backbone.has("model_args")) refuse(ErrorCode::unsupported, "model_args of the backbone are missing");
  const PretrainedConfig args = backbone.sub("model_args");
  const RepViTParameters p = repvit_parameters(c, backbone.string("architecture"), args);
  const std::vector<std::int64_t> stages =
      args.has("out_indices") ? args.integers("out_indices") : std::vector<std::int64_t>{0, 1, 2, 3};
  const Scope s = base / "vision_encoder";
  const std::vector<Value> all = repvit_features(s / "backbone" / "timm_model", p, pixel_values);
  std::vector<Value> features;
  for (std::int64_t stage : stages) {
    if (stage < 0) stage += std::ssize(all);
    if (stage < 0 || stage >= std::ssize(all))
      refuse(ErrorCode::bad_config, fmt::format("out_indices [{}] of a backbone with {} stages",
                                                fmt::join(stages, ", "), all.size()));
    features.push_back(all[static_cast<std::size_t>(stage)]);
  }
  if (!args.flag("features_only", false) || features.empty())
    refuse(ErrorCode::unsupported, "features_only of the backbone is false, expected true");
  return sam2_neck(s / "neck", c, features);
}

}  // namespace

void register_edgetam(TasksManager& tasks) {
  tasks.register_model<Sam2OnnxConfig>(
      sam2_definition("edgetam", {.vision_type = "edgetam_vision_model", .encode = encode}));
}

}  // namespace onnxport::models

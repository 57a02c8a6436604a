// The Swin Transformer of MaskFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/maskformer/modeling_maskformer_swin.py
#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "models/vision/common/swin.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kStages = 4;

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  config.harmless({"stage_names"});
  const std::int64_t stages = swin_stages(config);
  std::vector<std::int64_t> chosen = {1, 2, 3, 4};
  // MaskFormer takes these four from a configuration of type swin, whatever its out_features.
  if (config.model_type() != "swin") chosen = backbone_stages(config, stages);
  if (stages < kStages || chosen.front() == 0) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: a backbone of {} stages, of which stage {} is the first that is used; "
                                  "expected at least {}, and not the stem (0)",
                                  config.origin(), stages, chosen.front(), kStages));
  }
  const Scope norms = s / "hidden_states_norms";
  for (std::int64_t i = 0; i < stages; ++i) norms.ignore(fmt::format("{}", i));
  return swin_features(pixel_values, s / "model", config, chosen,
                       [&](std::int64_t stage) { return norms / (stage - 1); });
}

}  // namespace

void register_maskformer_swin(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "maskformer-swin",
                                          .tasks = {},
                                          .forward = {},
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models

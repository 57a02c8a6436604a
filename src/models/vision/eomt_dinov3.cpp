// EoMT on DINOv3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/eomt_dinov3/modeling_eomt_dinov3.py
#include <fmt/format.h>

#include "models/vision/common/dinov3.h"
#include "models/vision/common/eomt.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

Dinov3Config encoder_config(const PretrainedConfig& config) {
  Dinov3Config c(config);
  if (!config.has("rope_parameters")) return c;
  const PretrainedConfig rope = config.sub("rope_parameters");
  const std::string type = rope.string("rope_type", "default");
  if (type != "default") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: rope_type '{}', expected default", config.origin(), type));
  }
  c.rope_theta = rope.real("rope_theta", c.rope_theta);
  return c;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const Dinov3Config vit = encoder_config(config);
  const EomtConfig c(config, vit, vit.learned());
  const Scope root = model.scope();
  const Value pixel_values = inputs["pixel_values"];
  const Value tokens = nn::ImageTokens(root / "embeddings", vit.tokens())(pixel_values);
  const auto layer = [&](std::int64_t index, Value x, std::int64_t queries, const op::AttentionMask& mask) {
    const nn::Turn rotation = dinov3_rotation(x.graph(), vit, c.grid.height, c.grid.width, queries);
    return Dinov3Layer(root / "layers" / index, vit)(x, rotation, mask);
  };
  return segment_eomt(root, config, c, tokens, layer);
}

}  // namespace

void register_eomt_dinov3(TasksManager& tasks) {
  tasks.register_model<EomtOnnxConfig>({.model_type = "eomt_dinov3",
                                        .tasks = {"image-segmentation"},
                                        .forward = forward,
                                        .ignorable_keys = {"criterion.empty_weight"}});
}

}  // namespace onnxport::models
